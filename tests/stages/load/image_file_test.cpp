// JPEG and PNG decoding.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <flowdarts/spaces/support/error.hpp>
#include <flowdarts/spaces/support/random.hpp>
#include <flowdarts/stages/load/image_file.hpp>

#include "test_images.hpp"

namespace flowdarts {
namespace {

using ::testing::AllOf;
using testing::Bytes;
using testing::encode_jpeg;
using testing::encode_png;
using ::testing::HasSubstr;
using testing::input_error;
using testing::pattern;

Image decode(const Bytes& bytes, const ChooseRegion& choose = whole_image) {
  Image image;
  decode_image(bytes, "file", choose, image);
  return image;
}

double mean_difference(const Bytes& a, const Bytes& b) {
  EXPECT_EQ(a.size(), b.size());
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += std::abs(a[i] - b[i]);
  return sum / static_cast<double>(a.size());
}

TEST(Jpeg, DecodesRgbAndGrey) {
  const Bytes rgb = pattern(61, 47, 3);
  for (const bool progressive : {false, true}) {
    for (const int subsampling : {1, 2}) {
      const Bytes file = encode_jpeg(rgb, 61, 47, {.chroma_subsampling = subsampling, .progressive = progressive});
      const Image image = decode(file);
      EXPECT_EQ(image.width, 61);
      EXPECT_EQ(image.height, 47);
      EXPECT_LT(mean_difference(image.pixels, rgb), subsampling == 1 ? 1.5 : 4.0);
    }
  }
  const Bytes grey = pattern(61, 47, 1);
  Bytes repeated;
  for (const std::uint8_t value : grey) repeated.insert(repeated.end(), 3, value);
  EXPECT_LT(mean_difference(decode(encode_jpeg(grey, 61, 47, {.components = 1})).pixels, repeated), 1.0);
}

TEST(Jpeg, ConvertsInvertedCmykAndYcck) {
  const Bytes cmyk = pattern(40, 30, 4);
  Bytes expected;
  for (std::size_t p = 0; p < cmyk.size(); p += 4) {
    for (std::size_t c = 0; c < 3; ++c) {
      expected.push_back(static_cast<std::uint8_t>(std::lround(cmyk[p + c] * cmyk[p + 3] / 255.0)));
    }
  }
  for (const bool ycck : {false, true}) {
    const Bytes file = encode_jpeg(cmyk, 40, 30, {.components = 4, .ycck = ycck});
    EXPECT_LT(mean_difference(decode(file).pixels, expected), 1.5) << ycck;
  }
}

// Cutting a region out while decoding gives the bits of the whole image there.
TEST(Jpeg, RegionEqualsTheWholeImageThere) {
  CounterRng rng(1, Stream::augmentation);
  for (const int components : {1, 3, 4}) {
    for (const int subsampling : {1, 2}) {
      for (const bool progressive : {false, true}) {
        const int width = 157, height = 123;
        const Bytes file = encode_jpeg(pattern(width, height, components), width, height,
                                       {.components = components,
                                        .chroma_subsampling = components == 1 ? 1 : subsampling,
                                        .progressive = progressive});
        for (const int shrink : {1, 2, 4, 8}) {
          const Image whole = decode(file, [&](int w, int h) { return Region{0, 0, w, h, shrink}; });
          ASSERT_EQ(whole.width, (width + shrink - 1) / shrink);
          for (int trial = 0; trial < 30; ++trial) {
            Region region;
            region.width = 1 + static_cast<int>(rng.below(width));
            region.height = 1 + static_cast<int>(rng.below(height));
            region.left = static_cast<int>(rng.below(static_cast<std::uint64_t>(width - region.width + 1)));
            region.top = static_cast<int>(rng.below(static_cast<std::uint64_t>(height - region.height + 1)));
            region.shrink = shrink;
            const Image part = decode(file, [&](int, int) { return region; });
            const int right = (region.left + region.width + shrink - 1) / shrink;
            const int bottom = (region.top + region.height + shrink - 1) / shrink;
            ASSERT_LE(part.left, region.left / shrink);
            ASSERT_LE(part.top, region.top / shrink);
            ASSERT_GE(part.left + part.width, right);
            ASSERT_GE(part.top + part.height, bottom);
            for (int y = region.top / shrink; y < bottom; ++y) {
              for (int x = region.left / shrink; x < right; ++x) {
                for (int c = 0; c < 3; ++c) {
                  ASSERT_EQ(
                      part.pixels[static_cast<std::size_t>(((y - part.top) * part.width + x - part.left) * 3 + c)],
                      whole.pixels[static_cast<std::size_t>((y * whole.width + x) * 3 + c)])
                      << components << " " << subsampling << " " << progressive << " " << shrink << ": " << x << ","
                      << y << " of " << region.left << "," << region.top << " " << region.width << "x" << region.height;
                }
              }
            }
          }
        }
      }
    }
  }
}

TEST(Jpeg, EveryTruncationIsFoundWhateverTheRegion) {
  const Bytes file = encode_jpeg(pattern(64, 64, 3), 64, 64);
  for (std::size_t size = 3; size < file.size() - 1; size += 7) {
    const Bytes cut(file.begin(), file.begin() + static_cast<std::ptrdiff_t>(size));
    EXPECT_THAT(input_error([&] { decode(cut, [](int, int) {
                                    return Region{0, 0, 8, 8};
                                  }); }),
                HasSubstr("file: corrupt JPEG"));
  }
}

TEST(Jpeg, DamagedDataAreAnError) {
  Bytes file = encode_jpeg(pattern(64, 64, 3), 64, 64);
  file[file.size() / 2] = 0xFF;  // a marker in the middle of the data
  file[file.size() / 2 + 1] = 0xD9;
  EXPECT_THAT(input_error([&] { decode(file); }), HasSubstr("file: corrupt JPEG: "));
}

TEST(Png, HandlesEveryColourTypeDepthAndInterlacing) {
  const int width = 13, height = 9;
  const Bytes rgb = pattern(width, height, 3);
  for (const bool interlaced : {false, true}) {
    EXPECT_EQ(decode(encode_png(rgb, width, height, {.interlaced = interlaced})).pixels, rgb);

    Bytes rgba, rgb16, grey_alpha, from_grey, low_grey, from_low_grey, from_palette;
    for (std::size_t p = 0; p < rgb.size(); p += 3) {
      rgba.insert(rgba.end(), {rgb[p], rgb[p + 1], rgb[p + 2], static_cast<std::uint8_t>(p)});
      for (std::size_t c = 0; c < 3; ++c) rgb16.insert(rgb16.end(), 2, rgb[p + c]);  // v * 257 scales back to v
      grey_alpha.insert(grey_alpha.end(), {rgb[p], 7});
      from_grey.insert(from_grey.end(), 3, rgb[p]);
    }
    const auto as = [&](const Bytes& rows, int type, int depth) {
      return decode(encode_png(rows, width, height, {.color_type = type, .bit_depth = depth, .interlaced = interlaced}))
          .pixels;
    };
    EXPECT_EQ(as(rgba, PNG_COLOR_TYPE_RGB_ALPHA, 8), rgb);
    EXPECT_EQ(as(rgb16, PNG_COLOR_TYPE_RGB, 16), rgb);
    EXPECT_EQ(as(grey_alpha, PNG_COLOR_TYPE_GRAY_ALPHA, 8), from_grey);

    // Two bits a pixel, four pixels a byte, the last byte of a row partly used.
    const std::vector<png_color> palette{{1, 2, 3}, {50, 60, 70}, {255, 0, 128}, {9, 9, 9}};
    for (int y = 0; y < height; ++y) {
      Bytes row((width + 3) / 4, 0);
      for (int x = 0; x < width; ++x) {
        const auto value = static_cast<unsigned>(x + y) % 4U;
        row[static_cast<std::size_t>(x) / 4] |=
            static_cast<std::uint8_t>(value << (6U - 2U * (static_cast<unsigned>(x) % 4U)));
        from_low_grey.insert(from_low_grey.end(), 3, static_cast<std::uint8_t>(value * 85U));
        const png_color& color = palette[value];
        from_palette.insert(from_palette.end(), {color.red, color.green, color.blue});
      }
      low_grey.insert(low_grey.end(), row.begin(), row.end());
    }
    EXPECT_EQ(as(low_grey, PNG_COLOR_TYPE_GRAY, 2), from_low_grey);
    EXPECT_EQ(
        decode(
            encode_png(
                low_grey, width, height,
                {.color_type = PNG_COLOR_TYPE_PALETTE, .bit_depth = 2, .interlaced = interlaced, .palette = palette}))
            .pixels,
        from_palette);
  }
}

TEST(Png, TruncatedOrDamagedIsAnError) {
  const Bytes file = encode_png(pattern(32, 32, 3), 32, 32);
  for (std::size_t size = 8; size < file.size(); size += 5) {
    const Bytes cut(file.begin(), file.begin() + static_cast<std::ptrdiff_t>(size));
    EXPECT_THAT(input_error([&] { decode(cut); }), HasSubstr("file: corrupt PNG"));
  }
  Bytes damaged = file;
  damaged[file.size() / 2] ^= 1U;
  EXPECT_THAT(input_error([&] { decode(damaged); }), HasSubstr("file: corrupt PNG"));
}

TEST(ImageFile, RefusesOtherContentAndHugeSizes) {
  EXPECT_THAT(input_error([] { decode({}); }), HasSubstr("file: empty file"));
  EXPECT_THAT(input_error([] { decode({'G', 'I', 'F', '8', '9'}); }), HasSubstr("starts with 47 49 46 38"));
  EXPECT_THAT(input_error([] { decode(encode_png(Bytes(20000 * 3), 20000, 1)); }), HasSubstr("20000 x 1 pixels"));
  EXPECT_THAT(input_error([] { check_image_size(16384, 4097, "file"); }), HasSubstr("at most 67108864 pixels"));
  Bytes jpeg = encode_jpeg(pattern(8, 8, 3), 8, 8);
  for (std::size_t i = 0; i + 8 < jpeg.size(); ++i) {
    if (jpeg[i] == 0xFF && jpeg[i + 1] == 0xC0) jpeg[i + 5] = jpeg[i + 7] = 0xF0;  // height, width
  }
  EXPECT_THAT(input_error([&] { decode(jpeg); }), AllOf(HasSubstr("61448 x 61448 pixels"), HasSubstr("16384")));
}

}  // namespace
}  // namespace flowdarts
