#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <flowdarts/spaces/support/error.hpp>
#include <flowdarts/stages/load/augment.hpp>
#include <map>

#include "test_images.hpp"

namespace flowdarts {
namespace {

using ::testing::HasSubstr;
using testing::input_error;

constexpr Normalisation statistics{{0.5F, 0.4F, 0.3F}, {0.2F, 0.25F, 0.5F}};

// One image, every pixel of which tells where it came from.
class OneImage final : public Dataset {
 public:
  OneImage(ImageGeometry geometry, int width, int height, std::vector<std::uint8_t> pixels)
      : Dataset(facts(geometry)), width_(width), height_(height), pixels_(std::move(pixels)) {}
  using Dataset::decode;
  [[nodiscard]] std::vector<std::uint8_t> read(std::int64_t) const override { return {}; }
  void decode(std::int64_t, std::span<const std::uint8_t>, const ChooseRegion& choose, Image& out) const override {
    choose(width_, height_);
    out = {width_, height_, 0, 0, 1, pixels_};
  }

 private:
  static Facts facts(ImageGeometry geometry) {
    Facts facts;
    facts.labels = {0};
    facts.geometry = geometry;
    facts.normalisation = statistics;
    return facts;
  }
  int width_, height_;
  std::vector<std::uint8_t> pixels_;
};

// Red = x + 1, green = y + 1, blue = 255: black is recognisable.
OneImage coordinates(int size) {
  std::vector<std::uint8_t> pixels;
  for (int y = 0; y < size; ++y) {
    for (int x = 0; x < size; ++x) {
      pixels.insert(pixels.end(), {static_cast<std::uint8_t>(x + 1), static_cast<std::uint8_t>(y + 1), 255});
    }
  }
  return {{size, true}, size, size, std::move(pixels)};
}

float normalised(int value, std::size_t channel) {
  return static_cast<float>((value / 255.0 - statistics.mean[channel]) / statistics.std[channel]);
}

class Output {
 public:
  explicit Output(int size) : size_(size), values_(static_cast<std::size_t>(3 * size * size), NAN) {}
  std::span<float> span() { return values_; }
  [[nodiscard]] float at(int c, int y, int x) const {
    return values_[static_cast<std::size_t>((c * size_ + y) * size_ + x)];
  }
  // The value 0 .. 255 that was normalised.
  [[nodiscard]] int value(int c, int y, int x) const {
    const auto channel = static_cast<std::size_t>(c);
    return static_cast<int>(std::lround((at(c, y, x) * statistics.std[channel] + statistics.mean[channel]) * 255.0));
  }

 private:
  int size_;
  std::vector<float> values_;
};

CounterRng sample_rng(std::uint64_t sample) {
  return CounterRng(11, Stream::augmentation, 0, 0, sample);
}

TEST(Augmentation, CropOffsetsAreUniformFlipsAreHalfAndTheBorderIsBlack) {
  const OneImage dataset = coordinates(32);
  const Augmentation augmentation({32, true}, statistics, {});
  Output out(32);
  Image scratch;
  constexpr int trials = 20000;
  std::map<int, int> across, down;
  int flips = 0;
  for (int trial = 0; trial < trials; ++trial) {
    augmentation.train(dataset, 0, {}, sample_rng(static_cast<std::uint64_t>(trial)), scratch, out.span());
    // The centre is never border: its coordinates give shift and flip away.
    const int red_left = out.value(0, 16, 15), red_right = out.value(0, 16, 16);
    const bool flipped = red_left > red_right;
    flips += flipped ? 1 : 0;
    const int shift_x = (flipped ? red_right : red_left) - 1 - 15;
    const int shift_y = out.value(1, 16, 16) - 1 - 16;
    ++across[shift_x];
    ++down[shift_y];
    if (trial >= 200) continue;
    for (int y = 0; y < 32; ++y) {
      for (int x = 0; x < 32; ++x) {
        const int from_x = (flipped ? 31 - x : x) + shift_x, from_y = y + shift_y;
        const bool inside = from_x >= 0 && from_x < 32 && from_y >= 0 && from_y < 32;
        ASSERT_EQ(out.at(0, y, x), normalised(inside ? from_x + 1 : 0, 0));
        ASSERT_EQ(out.at(1, y, x), normalised(inside ? from_y + 1 : 0, 1));
        ASSERT_EQ(out.at(2, y, x), inside ? normalised(255, 2) : -statistics.mean[2] / statistics.std[2]);
      }
    }
  }
  EXPECT_NEAR(flips, trials / 2.0, 4 * std::sqrt(trials / 4.0));
  for (const auto* shifts : {&across, &down}) {
    EXPECT_EQ(shifts->size(), 9U);
    for (const auto& [shift, count] : *shifts) {
      EXPECT_LE(std::abs(shift), 4);
      EXPECT_NEAR(count, trials / 9.0, 4 * std::sqrt(trials / 9.0)) << shift;
    }
  }
}

TEST(Augmentation, CutoutIsASquareOfZerosClippedAtTheBorder) {
  const OneImage dataset = coordinates(32);
  const Augmentation augmentation({32, true}, statistics, {.padding = 0, .cutout = 16});
  Output out(32);
  Image scratch;
  bool clipped = false, whole = false;
  std::vector<int> centres(32, 0);
  for (std::uint64_t trial = 0; trial < 3000; ++trial) {
    augmentation.train(dataset, 0, {}, sample_rng(trial), scratch, out.span());
    int top = 32, bottom = -1, left = 32, right = -1, zeros = 0;
    for (int y = 0; y < 32; ++y) {
      for (int x = 0; x < 32; ++x) {
        if (out.at(2, y, x) != 0.0F) continue;
        ASSERT_EQ(out.at(0, y, x), 0.0F);
        ASSERT_EQ(out.at(1, y, x), 0.0F);
        top = std::min(top, y), bottom = std::max(bottom, y), left = std::min(left, x), right = std::max(right, x);
        ++zeros;
      }
    }
    const int height = bottom - top + 1, width = right - left + 1;
    ASSERT_EQ(zeros, height * width);
    ASSERT_GE(height, 8);
    ASSERT_LE(height, 16);
    ASSERT_TRUE(height == 16 || top == 0 || bottom == 31);
    ASSERT_TRUE(width == 16 || left == 0 || right == 31);
    ++centres[static_cast<std::size_t>(top > 0 ? top + 8 : bottom - 7)];
    clipped = clipped || zeros < 256;
    whole = whole || zeros == 256;
  }
  EXPECT_TRUE(clipped);
  EXPECT_TRUE(whole);
  for (const int count : centres) EXPECT_NEAR(count, 3000 / 32.0, 45);
}

TEST(Augmentation, EvaluationLeavesFixedImagesAsTheyAre) {
  const OneImage dataset = coordinates(32);
  const Augmentation augmentation({32, true}, statistics, {});
  Output out(32);
  Image scratch;
  augmentation.evaluate(dataset, 0, {}, scratch, out.span());
  for (int y = 0; y < 32; ++y) {
    for (int x = 0; x < 32; ++x) {
      ASSERT_EQ(out.at(0, y, x), normalised(x + 1, 0));
      ASSERT_EQ(out.at(1, y, x), normalised(y + 1, 1));
    }
  }
}

TEST(Augmentation, RefusesOptionsOutOfRange) {
  EXPECT_THAT(input_error([] { Augmentation({32, true}, statistics, {.padding = -1}); }), HasSubstr("padding of -1"));
  EXPECT_THAT(input_error([] {
                Augmentation({32, true}, statistics, {.cutout = 33});
              }),
              HasSubstr("cutout of 33 pixels, expected 0 to 32"));
}

TEST(RandomResizedCrop, AreaIsUniformAndAspectLogUniform) {
  constexpr int trials = 20000;
  std::vector<double> areas, ratios;
  for (std::uint64_t trial = 0; trial < trials; ++trial) {
    CounterRng rng = sample_rng(trial);
    const Region crop = random_resized_crop(4000, 4000, rng);
    ASSERT_GE(crop.left, 0);
    ASSERT_GE(crop.top, 0);
    ASSERT_LE(crop.left + crop.width, 4000);
    ASSERT_LE(crop.top + crop.height, 4000);
    const double area = static_cast<double>(crop.width) * crop.height / 16e6;
    ASSERT_GE(area, 0.0799);
    // Larger crops are rejected more often when they are elongated; below 3/4 of the area every ratio fits.
    if (area > 0.75) continue;
    areas.push_back(area);
    ratios.push_back(std::log(static_cast<double>(crop.width) / crop.height) / std::log(4.0 / 3.0));
  }
  // Kolmogorov-Smirnov against the uniform distribution, at a level of about 1e-4.
  const auto statistic = [](std::vector<double>& values, double low, double high) {
    std::ranges::sort(values);
    double largest = 0;
    for (std::size_t i = 0; i < values.size(); ++i) {
      const double expected = (values[i] - low) / (high - low);
      largest = std::max(largest, std::abs(expected - static_cast<double>(i) / static_cast<double>(values.size())));
    }
    return largest * std::sqrt(static_cast<double>(values.size()));
  };
  EXPECT_LT(statistic(areas, 0.08, 0.75), 2.2);
  EXPECT_LT(statistic(ratios, -1.0, 1.0), 2.2);
}

TEST(RandomResizedCrop, FallsBackToTheClippedCentre) {
  CounterRng rng = sample_rng(0);
  const Region wide = random_resized_crop(10000, 30, rng);  // no crop of 8 % fits
  EXPECT_EQ(wide.width, 40);
  EXPECT_EQ(wide.height, 30);
  EXPECT_EQ(wide.left, 4980);
  const Region tall = random_resized_crop(30, 10000, rng);
  EXPECT_EQ(tall.width, 30);
  EXPECT_EQ(tall.height, 40);
  EXPECT_EQ(tall.top, 4980);
}

// Straight from the definition, in double: every output pixel looks at every input pixel.
double reference_resize(const Image& image, const ResizeAxis& horizontal, const ResizeAxis& vertical, int x, int y,
                        int c) {
  const auto weight = [](const ResizeAxis& axis, int out, int in) {
    if (in < axis.clip_begin || in >= axis.clip_end) return 0.0;
    const double support = std::max(1.0, axis.step);
    const double center = axis.begin + (out + 0.5) * axis.step;
    return std::max(0.0, 1.0 - std::abs(in + 0.5 - center) / support);
  };
  double sum = 0, total = 0;
  for (int row = 0; row < image.height; ++row) {
    const double down = weight(vertical, y, row);
    if (down == 0.0) continue;
    for (int column = 0; column < image.width; ++column) {
      const double product = down * weight(horizontal, x, column);
      sum += product * image.pixels[static_cast<std::size_t>((row * image.width + column) * 3 + c)];
      total += product;
    }
  }
  return sum / total;
}

// Tolerance: 1e-3 of a grey level, the rounding of float sums.
TEST(Resize, AgreesWithASlowReference) {
  CounterRng rng = sample_rng(1);
  for (int trial = 0; trial < 12; ++trial) {
    const int width = 20 + static_cast<int>(rng.below(180)), height = 20 + static_cast<int>(rng.below(180));
    Image image{width, height, 0, 0, 1, {}};
    for (int i = 0; i < 3 * width * height; ++i) image.pixels.push_back(static_cast<std::uint8_t>(rng.below(256)));
    const Region crop = random_resized_crop(width, height, rng);
    const int size = 24;
    const ResizeAxis horizontal{static_cast<double>(crop.left), static_cast<double>(crop.width) / size, crop.left,
                                crop.left + crop.width};
    const ResizeAxis vertical{static_cast<double>(crop.top), static_cast<double>(crop.height) / size, crop.top,
                              crop.top + crop.height};
    const bool flip = trial % 2 == 1;
    std::vector<float> out(3 * size * size);
    resize(image, horizontal, vertical, flip, {{1, 1, 1}, {0, 0, 0}}, size, size, out);
    for (int c = 0; c < 3; ++c) {
      for (int y = 0; y < size; ++y) {
        for (int x = 0; x < size; ++x) {
          const double expected = reference_resize(image, horizontal, vertical, flip ? size - 1 - x : x, y, c);
          ASSERT_NEAR(out[static_cast<std::size_t>((c * size + y) * size + x)], expected, 1e-3);
        }
      }
    }
  }
}

TEST(Augmentation, LargeImagesAreCroppedResizedAndFlipped) {
  const int width = 90, height = 70, size = 24;
  const OneImage dataset({size, false}, width, height, testing::pattern(width, height, 3));
  const Image image{width, height, 0, 0, 1, testing::pattern(width, height, 3)};
  const Augmentation augmentation(dataset.geometry(), statistics, {.padding = 0});
  Output out(size);
  Image scratch;
  int flips = 0;
  for (std::uint64_t trial = 0; trial < 200; ++trial) {
    augmentation.train(dataset, 0, {}, sample_rng(trial), scratch, out.span());
    CounterRng rng = sample_rng(trial);
    const Region crop = random_resized_crop(width, height, rng);
    const bool flip = rng.below(2) == 1;
    flips += flip ? 1 : 0;
    const ResizeAxis horizontal{static_cast<double>(crop.left), static_cast<double>(crop.width) / size, crop.left,
                                crop.left + crop.width};
    const ResizeAxis vertical{static_cast<double>(crop.top), static_cast<double>(crop.height) / size, crop.top,
                              crop.top + crop.height};
    for (const auto& [x, y] : {std::pair(0, 0), std::pair(23, 5), std::pair(11, 23)}) {
      for (int c = 0; c < 3; ++c) {
        const auto channel = static_cast<std::size_t>(c);
        const double value = reference_resize(image, horizontal, vertical, flip ? size - 1 - x : x, y, c);
        ASSERT_NEAR(out.at(c, y, x), (value / 255 - statistics.mean[channel]) / statistics.std[channel], 1e-4);
      }
    }
  }
  EXPECT_NEAR(flips, 100, 30);
}

// How far what train() makes of crops lies from the same crops of the whole image at full resolution, in grey levels.
struct Differences {
  double sum = 0, largest_inside = 0, largest_at_border = 0;  // the border: the outermost row and column
  std::int64_t values = 0;

  [[nodiscard]] double mean() const { return sum / static_cast<double>(values); }
};

// By the reduction of the decoder. rng: what train() chooses with.
void compare_with_whole_decode(const Dataset& dataset, std::int64_t sample, const CounterRng& rng,
                               std::map<int, Differences>& found) {
  const int size = dataset.geometry().size;
  const Augmentation augmentation(dataset.geometry(), statistics, {.padding = 0});
  Image full, scratch;
  dataset.decode(sample, full);
  Output out(size);
  augmentation.train(dataset, sample, dataset.read(sample), rng, scratch, out.span());
  CounterRng same = rng;
  const Region crop = random_resized_crop(full.width, full.height, same);
  const bool flip = same.below(2) == 1;
  const ResizeAxis horizontal{static_cast<double>(crop.left), static_cast<double>(crop.width) / size, crop.left,
                              crop.left + crop.width};
  const ResizeAxis vertical{static_cast<double>(crop.top), static_cast<double>(crop.height) / size, crop.top,
                            crop.top + crop.height};
  std::vector<float> expected(out.span().size());
  resize(full, horizontal, vertical, flip, {{1, 1, 1}, {0, 0, 0}}, size, size, expected);
  Differences& differences = found[scratch.shrink];
  for (int i = 0; i < 3 * size * size; ++i) {
    const auto channel = static_cast<std::size_t>(i / (size * size));
    const double value =
        (out.span()[static_cast<std::size_t>(i)] * statistics.std[channel] + statistics.mean[channel]) * 255;
    const double difference = std::abs(value - expected[static_cast<std::size_t>(i)]);
    differences.sum += difference;
    ++differences.values;
    const int x = i % size, y = i / size % size;
    const bool at_border = std::min(x, y) == 0 || std::max(x, y) == size - 1;
    double& largest = at_border ? differences.largest_at_border : differences.largest_inside;
    largest = std::max(largest, difference);
  }
}

// A crop at least four times the output's size is decoded at reduced resolution. Tolerance against resizing the full
// resolution, for an image whose slope is at most 4.6 grey levels a pixel: 0.5 on average and 2.5 at most inside; 9.2
// in the outermost row and column, where a reduced pixel of 8 may lie outside the crop by half (2 pixels of slope).
TEST(Augmentation, ReducedDecodingDiffersLittleFromResizingTheFullImage) {
  const int width = 500, height = 460;
  const testing::TemporaryDirectory root;
  testing::write_file(root.path() / "class" / "1.jpg", testing::encode_jpeg(testing::pattern(width, height, 3, 0, 0.2),
                                                                            width, height, {.chroma_subsampling = 2}));
  const auto dataset = open_dataset({.kind = "folder", .path = root.path(), .image_size = 24});
  std::map<int, Differences> found;
  for (std::uint64_t trial = 0; trial < 60; ++trial) {
    compare_with_whole_decode(*dataset, 0, sample_rng(trial), found);
  }
  double sum = 0;
  std::int64_t values = 0;
  for (const int shrink : {2, 4, 8}) {
    SCOPED_TRACE(shrink);
    const Differences& differences = found[shrink];
    ASSERT_GT(differences.values, 0);
    EXPECT_LT(differences.largest_inside, 2.5);
    EXPECT_LT(differences.largest_at_border, 9.2);
    sum += differences.sum;
    values += differences.values;
  }
  EXPECT_LT(sum / static_cast<double>(values), 0.5);
}

// Photographs: the crop alone at full resolution is the same but for rounding; reduced by 2, 4 and 8 it is less than a
// grey level away on average, at most 20 inside and 40 in the outermost row and column.
TEST(Augmentation, DecodingTheCropOfAPhotographDiffersLittleFromDecodingAllOfIt) {
  const std::filesystem::path root = testing::shared_data() / "imagenet-sample";
  if (!std::filesystem::is_directory(root)) GTEST_SKIP() << "no imagenet-sample in FLOWDARTS_SHARED_DATA";
  std::map<int, Differences> found;
  for (const int size : {224, 56, 28}) {
    const auto dataset = open_dataset({.kind = "folder", .path = root, .image_size = size});
    ASSERT_EQ(dataset->size(), 200);
    for (std::int64_t sample = 0; sample < dataset->size(); ++sample) {
      compare_with_whole_decode(*dataset, sample, sample_rng(static_cast<std::uint64_t>(sample)), found);
    }
  }
  EXPECT_LT(found[1].largest_inside, 1e-3);
  EXPECT_LT(found[1].largest_at_border, 1e-3);
  for (const int shrink : {2, 4, 8}) {
    SCOPED_TRACE(shrink);
    ASSERT_GT(found[shrink].values, 0);
    EXPECT_LT(found[shrink].mean(), 1.0);
    EXPECT_LT(found[shrink].largest_inside, 20);
    EXPECT_LT(found[shrink].largest_at_border, 40);
  }
}

TEST(Augmentation, LargeImagesAreEvaluatedOnTheirResizedCentre) {
  // 300 x 150 to a shorter side of 32, 64 x 32; the centre 28 x 28 begins at (18, 2).
  const int size = 28;
  const OneImage dataset({size, false}, 300, 150, testing::pattern(300, 150, 3));
  const Image image{300, 150, 0, 0, 1, testing::pattern(300, 150, 3)};
  const Augmentation augmentation(dataset.geometry(), statistics, {});
  Output out(size);
  Image scratch;
  augmentation.evaluate(dataset, 0, {}, scratch, out.span());
  const ResizeAxis horizontal{0, 300.0 / 64, 0, 300}, vertical{0, 150.0 / 32, 0, 150};
  for (int y = 0; y < size; y += 9) {
    for (int x = 0; x < size; x += 9) {
      const double value = reference_resize(image, horizontal, vertical, x + 18, y + 2, 0);
      EXPECT_NEAR(out.at(0, y, x), (value / 255 - 0.5) / 0.2, 1e-4);
    }
  }
}

}  // namespace
}  // namespace flowdarts
