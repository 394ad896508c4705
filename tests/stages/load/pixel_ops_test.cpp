#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <algorithm>
#include <cmath>
#include <flowdarts/spaces/support/error.hpp>
#include <flowdarts/stages/load/augment.hpp>
#include <flowdarts/stages/load/batch_loader.hpp>
#include <fstream>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <tuple>

#include "memory_images.hpp"

namespace flowdarts {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;
using Bytes = std::vector<std::uint8_t>;

/// What Pillow makes of the image in it.
const nlohmann::json& golden() {
  static const nlohmann::json object =
      nlohmann::json::parse(std::ifstream(FLOWDARTS_SOURCE_DIR "/tests/stages/load/golden_pillow.json"));
  return object;
}

constexpr int width = 9, height = 7;

/// Pixel values, some of them bright, none of them along a line.
Bytes test_image(int columns, int rows) {
  Bytes pixels;
  for (int y = 0; y < rows; ++y) {
    for (int x = 0; x < columns; ++x) {
      for (int c = 0; c < 3; ++c) {
        const int value =
            (x + y) % 4 != 0 ? x * x * 7 + y * 31 * (c + 1) + x * y * 13 + c * 57 + 5 : 40 * c + 9 * x + 17 * y;
        pixels.push_back(static_cast<std::uint8_t>(value % 256));
      }
    }
  }
  return pixels;
}

/// The largest difference of any value, and how many differ at all.
std::pair<int, int> difference(const Bytes& a, const Bytes& b) {
  int largest = 0, count = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const int d = std::abs(a[i] - b[i]);
    largest = std::max(largest, d);
    count += d != 0 ? 1 : 0;
  }
  return {largest, count};
}

TEST(PixelOps, GiveWhatPillowGives) {
  ASSERT_EQ(test_image(width, height), golden()["image"].get<Bytes>());
  const std::vector<std::pair<std::string, std::function<void(PixelGrid)>>> ops{
      {"brightness 0.4", [](PixelGrid i) { brightness(i, 0.4); }},
      {"brightness 1.7", [](PixelGrid i) { brightness(i, 1.7); }},
      {"contrast 0.4", [](PixelGrid i) { contrast(i, 0.4); }},
      {"contrast 1.7", [](PixelGrid i) { contrast(i, 1.7); }},
      {"saturation 0.4", [](PixelGrid i) { saturation(i, 0.4); }},
      {"saturation 1.7", [](PixelGrid i) { saturation(i, 1.7); }},
      {"sharpness 0.4", [](PixelGrid i) { sharpness(i, 0.4); }},
      {"sharpness 1.7", [](PixelGrid i) { sharpness(i, 1.7); }},
      {"hue 0.2", [](PixelGrid i) { shift_hue(i, 0.2); }},
      {"hue -0.37", [](PixelGrid i) { shift_hue(i, -0.37); }},
      {"posterize 3", [](PixelGrid i) { posterize(i, 3); }},
      {"solarize 100", [](PixelGrid i) { solarize(i, 100); }},
      {"autocontrast", autocontrast},
      {"equalize", equalize},
      {"shear_x 0.3", [](PixelGrid i) { shear_x(i, 0.3); }},
      {"shear_y -0.3", [](PixelGrid i) { shear_y(i, -0.3); }},
      {"translate_x 2", [](PixelGrid i) { translate_x(i, 2); }},
      {"translate_y -3", [](PixelGrid i) { translate_y(i, -3); }},
      {"rotate 20", [](PixelGrid i) { rotate(i, 20); }},
      {"rotate -11", [](PixelGrid i) { rotate(i, -11); }},
  };
  ASSERT_EQ(ops.size(), golden()["ops"].size());
  for (const auto& [name, op] : ops) {
    Bytes pixels = test_image(width, height);
    op({pixels, width, height});
    EXPECT_EQ(pixels, golden()["ops"][name].get<Bytes>()) << name;
  }
  Bytes larger = test_image(64, 48);
  equalize({larger, 64, 48});
  EXPECT_EQ(::crc32(0, larger.data(), static_cast<unsigned>(larger.size())),
            golden()["equalized_64x48_crc32"].get<std::uint32_t>());
}

TEST(Resize, BicubicIsPillowsButForItsRounding) {
  const Bytes pixels = test_image(width, height);
  const Image image{.width = width, .height = height, .pixels = pixels};
  for (const auto& [name, columns, rows] : {std::tuple{"bicubic 5x4", 5, 4}, {"bicubic 14x11", 14, 11}}) {
    const auto plane = static_cast<std::size_t>(columns * rows);
    std::vector<float> out(3 * plane);
    resize(image, {0, static_cast<double>(width) / columns, 0, width},
           {0, static_cast<double>(height) / rows, 0, height}, false, {{1, 1, 1}, {0, 0, 0}}, columns, rows, out,
           ResizeFilter::bicubic);
    Bytes rounded;
    for (std::size_t i = 0; i < out.size(); ++i) {
      rounded.push_back(static_cast<std::uint8_t>(std::clamp(out[plane * (i % 3) + i / 3], 0.0F, 255.0F) + 0.5F));
    }
    // Pillow rounds and clips what it keeps between its two passes, too.
    const auto [largest, count] = difference(rounded, golden()[name].get<Bytes>());
    EXPECT_LE(largest, 2) << name;
    EXPECT_LE(count, static_cast<int>(rounded.size()) / 4) << name;
  }
}

TEST(RandAugment, OpsHaveTheStrengthOfTheirMagnitude) {
  const RandAugment half{.ops = 1, .magnitude = 15};
  const auto check = [&](const char* name, bool backwards, const std::function<void(PixelGrid)>& expected) {
    Bytes found = test_image(width, height), wanted = found;
    half.apply_op(name, backwards, {found, width, height});
    expected({wanted, width, height});
    EXPECT_EQ(found, wanted) << name;
  };
  check("identity", false, [](PixelGrid) {});
  check("shear_x", true, [](PixelGrid i) { shear_x(i, -0.15); });
  check("shear_y", false, [](PixelGrid i) { shear_y(i, 0.15); });
  check("translate_x", false, [](PixelGrid i) { translate_x(i, 2); });  // 9 * 150 / 331 / 2
  check("translate_y", true, [](PixelGrid i) { translate_y(i, -1); });
  check("rotate", false, [](PixelGrid i) { rotate(i, 15); });
  check("brightness", true, [](PixelGrid i) { brightness(i, 0.55); });
  check("saturation", false, [](PixelGrid i) { saturation(i, 1.45); });
  check("contrast", false, [](PixelGrid i) { contrast(i, 1.45); });
  check("sharpness", true, [](PixelGrid i) { sharpness(i, 0.55); });
  check("posterize", false, [](PixelGrid i) { posterize(i, 6); });
  check("solarize", false, [](PixelGrid i) { solarize(i, 128); });
  check("autocontrast", false, autocontrast);
  check("equalize", false, equalize);
  Bytes pixels(3, 0);
  EXPECT_THROW(half.apply_op("invert", false, {pixels, 1, 1}), std::invalid_argument);
}

TEST(RandAugment, DrawsEveryOpAsOften) {
  // On an image that each op changes in its own way, one op at a time.
  const RandAugment one{.ops = 1, .magnitude = 20};
  const auto text = [](const Bytes& pixels) { return std::string(pixels.begin(), pixels.end()); };
  std::map<std::string, int> counts;
  for (std::uint64_t sample = 0; sample < 2800; ++sample) {
    Bytes pixels = test_image(64, 48);
    CounterRng rng(1, Stream::augmentation, 0, 0, sample);
    one.apply({pixels, 64, 48}, rng);
    ++counts[text(pixels)];
  }
  // identity, posterize, solarize, autocontrast and equalize have one side (autocontrast finds nothing to stretch), the
  // other nine two.
  EXPECT_EQ(counts.size(), 4U + 9 * 2);
  EXPECT_NEAR(counts[text(test_image(64, 48))], 400, 100);
}

Batch load(const std::shared_ptr<const Dataset>& images, const AugmentOptions& options, std::int64_t epoch,
           std::vector<std::int64_t> ids) {
  return BatchLoader(images, options, 5, {}).load({.epoch = epoch, .ids = std::move(ids)});
}

TEST(Augmentation, AlteredColoursDependOnSeedEpochAndSampleAlone) {
  const auto images = testing::random_images(8, 16);
  const AugmentOptions options{.jitter = {0.4, 0.4, 0.4, 0.2}, .rand_augment = {.ops = 2}, .lighting = 0.1};
  const Batch all = load(images, options, 3, {0, 1, 2, 3, 4, 5, 6, 7});
  const std::size_t floats = 3 * 16 * 16;
  for (const std::int64_t id : {7, 2, 5}) {
    const Batch one = load(images, options, 3, {id});
    EXPECT_TRUE(
        std::ranges::equal(one.images, std::span(all.images).subspan(static_cast<std::size_t>(id) * floats, floats)));
    EXPECT_NE(one.images, load(images, options, 4, {id}).images);
  }
}

TEST(Augmentation, LightingShiftsEachChannelByOneAmount) {
  const auto images = testing::random_images(2, 16);
  const Batch plain = load(images, {}, 0, {0, 1}), lit = load(images, {.lighting = 0.1}, 0, {0, 1});
  std::set<float> shifts;
  for (std::size_t image_and_channel = 0; image_and_channel < 6; ++image_and_channel) {
    const std::size_t first = image_and_channel * 256;
    const float shift = lit.images[first] - plain.images[first];
    for (std::size_t i = first; i < first + 256; ++i) ASSERT_NEAR(lit.images[i] - plain.images[i], shift, 1e-5);
    shifts.insert(std::round(shift * 1e4F));
  }
  EXPECT_GE(shifts.size(), 5U);
}

TEST(Augmentation, CutoutFollowsAlteredColours) {
  const auto images = testing::random_images(1, 16);
  const Batch batch = load(images, {.cutout = 8, .rand_augment = {.ops = 2}}, 0, {0});
  EXPECT_GE(std::ranges::count(batch.images, 0.0F), 3 * 16);  // a corner of the hole at least
}

TEST(Augmentation, RefusesColourOptionsOutOfRange) {
  const auto images = testing::random_images(1, 16);
  const auto open = [&](const AugmentOptions& options) { BatchLoader(images, options, 5, {}); };
  EXPECT_THAT([&] { open({.jitter = {.hue = 0.6}}); }, ThrowsMessage<InputError>(HasSubstr("hue jitter of 0.6")));
  EXPECT_THAT([&] { open({.jitter = {.contrast = -1}}); },
              ThrowsMessage<InputError>(HasSubstr("contrast jitter of -1")));
  EXPECT_THAT([&] { open({.rand_augment = {.ops = 1, .magnitude = 31}}); },
              ThrowsMessage<InputError>(HasSubstr("magnitude 31, expected 0 to 30")));
}

}  // namespace
}  // namespace flowdarts
