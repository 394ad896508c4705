#include <gtest/gtest.h>

#include <flowdarts/spaces/support/random.hpp>
#include <flowdarts/stages/load/augment.hpp>
#include <flowdarts/stages/load/pixel_ops.hpp>
#include <vector>

#include "memory_images.hpp"

namespace flowdarts {
namespace {

CounterRng sample_rng(std::int64_t sample) {
  return CounterRng(11, Stream::augmentation, 0, 0, static_cast<std::uint64_t>(sample));
}

/// augmented_pixel() of a whole image, [3, size, size].
std::vector<float> augmented(const std::vector<std::uint8_t>& pixels, int size, const Crop& crop,
                             std::span<const float> normalised) {
  const auto plane = static_cast<std::size_t>(size * size);
  std::vector<float> out(3 * plane, NAN);
  const int mean_grey = mean_of_greys(sum_of_greys(pixels.data(), size, crop, 0, 1), size * size);
  for (int y = 0; y < size; ++y) {
    for (int x = 0; x < size; ++x) {
      float rgb[3];
      augmented_pixel(pixels.data(), size, crop, mean_grey, normalised.data(), x, y, rgb);
      for (std::size_t c = 0; c < 3; ++c) out[c * plane + static_cast<std::size_t>(y * size + x)] = rgb[c];
    }
  }
  return out;
}

// A 3 x 3 image whose red counts up from 1; green is red + 10, blue red + 20. Moved one to the left and one down,
// mirrored:
//   1 2 3      . . .      . . .
//   4 5 6  ->  2 3 .  ->  . 3 2
//   7 8 9      5 6 .      . 6 5
TEST(AugmentedPixel, ShiftsThenMirrorsThenCutsOut) {
  std::vector<std::uint8_t> pixels;
  for (int i = 1; i <= 9; ++i) {
    for (const int offset : {0, 10, 20}) pixels.push_back(static_cast<std::uint8_t>(i + offset));
  }
  std::vector<float> normalised;
  for (int c = 0; c < 3; ++c) {
    for (int value = 0; value < 256; ++value) normalised.push_back(static_cast<float>(1000 * (c + 1) + value));
  }
  const Crop crop{
      .shift_x = 1, .shift_y = -1, .hole_left = 2, .hole_right = 3, .hole_top = 0, .hole_bottom = 2, .flip = true};
  const std::vector<float> expected{1000, 1000, 0, 1000, 1003, 0, 1000, 1006, 1005,  //
                                    2000, 2000, 0, 2000, 2013, 0, 2000, 2016, 2015,  //
                                    3000, 3000, 0, 3000, 3023, 0, 3000, 3026, 3025};
  EXPECT_EQ(augmented(pixels, 3, crop, normalised), expected);
}

/// What changes colours on its way: each kind alone, all, none.
std::vector<AugmentOptions> colour_options() {
  return {{},
          {.jitter = {.brightness = 0.6}},
          {.jitter = {.contrast = 0.6}},
          {.jitter = {.saturation = 0.6}},
          {.jitter = {.hue = 0.5}},
          {.lighting = 0.3},
          {.jitter = {0.4, 0.4, 0.4, 0.2}, .lighting = 0.1}};
}

TEST(AugmentedPixel, MakesTheBitsOfTheAugmentation) {
  for (const int size : {7, 32}) {
    const auto dataset = testing::random_images(40, size);
    for (const int padding : {0, 4, size}) {
      for (AugmentOptions options : colour_options()) {
        const int cutout = padding + static_cast<int>(options.lighting * 10);
        SCOPED_TRACE(std::to_string(size) + " pixels, padding " + std::to_string(padding) + ", cutout " +
                     std::to_string(cutout));
        options.padding = padding;
        options.cutout = std::min(cutout, size);
        const Augmentation augmentation(dataset->geometry(), dataset->normalisation(), options);
        Image image, scratch;
        std::vector<float> expected(static_cast<std::size_t>(3 * size * size));
        for (std::int64_t sample = 0; sample < dataset->size(); ++sample) {
          dataset->decode(sample, image);
          const Crop crop = augmentation.choose_crop(sample, sample_rng(sample));
          EXPECT_EQ(crop.sample, sample);
          augmentation.train(*dataset, sample, {}, sample_rng(sample), scratch, expected);
          ASSERT_EQ(augmented(image.pixels, size, crop, augmentation.normalised()), expected);
          augmentation.evaluate(*dataset, sample, {}, scratch, expected);
          ASSERT_EQ(augmented(image.pixels, size, {}, augmentation.normalised()), expected);
        }
      }
    }
  }
}

// Every colour that has one value of eight in each channel, and a shift for every step of the circle.
TEST(ChangeColours, OfAPixelIsThatOfAnImage) {
  std::vector<std::uint8_t> image;
  for (int i = 0; i < 9 * 9 * 9; ++i) {
    for (const int digit : {i % 9, i / 9 % 9, i / 81})
      image.push_back(static_cast<std::uint8_t>(std::min(32 * digit, 255)));
  }
  CounterRng rng(5, Stream::noise);
  for (int trial = 0; trial < 512; ++trial) {
    ColourSteps colours = ColourJitter{1, 1, 1, 0.5}.draw(rng);
    ASSERT_EQ(colours.count, 4);
    if (trial >= 256) colours = {{{ColourOp::hue, static_cast<float>(trial - 384)}}, 1};
    std::vector<std::uint8_t> expected = image, found;
    change_colours(PixelGrid{expected, 81, 9}, colours);
    std::int64_t sum = 0;
    for (std::size_t i = 0; i < image.size(); i += 3) {
      Rgb pixel{{image[i], image[i + 1], image[i + 2]}};
      change_colours(pixel, colours, 0, contrast_place(colours), 0);
      sum += grey_of(pixel.values);
    }
    const int mean_grey = mean_of_greys(sum, 9 * 9 * 9);
    for (std::size_t i = 0; i < image.size(); i += 3) {
      Rgb pixel{{image[i], image[i + 1], image[i + 2]}};
      change_colours(pixel, colours, 0, colours.count, mean_grey);
      found.insert(found.end(), std::begin(pixel.values), std::end(pixel.values));
    }
    ASSERT_EQ(found, expected) << trial;
  }
}

// The threads of a block share an image.
TEST(SumOfGreys, AddsUpOverStrides) {
  const auto dataset = testing::random_images(1, 13);
  Image image;
  dataset->decode(0, image);
  CounterRng rng(5, Stream::noise);
  const Crop crop{.shift_x = 2, .colours = ColourJitter{0.5, 0.5, 0.5, 0.1}.draw(rng)};
  std::int64_t sum = 0;
  for (int first = 0; first < 10; ++first) sum += sum_of_greys(image.pixels.data(), 13, crop, first, 10);
  EXPECT_EQ(sum, sum_of_greys(image.pixels.data(), 13, crop, 0, 1));
  EXPECT_GT(sum, 0);
}

// What a seed stands for must not change: first the rows, then the columns, the flip, the row and the column of the
// hole.
TEST(ChooseCrop, DrawsInAFixedOrder) {
  const Augmentation augmentation({32, true}, {{0, 0, 0}, {1, 1, 1}}, {.padding = 4, .cutout = 16});
  for (std::int64_t sample = 0; sample < 100; ++sample) {
    CounterRng rng = sample_rng(sample);
    const int shift_y = static_cast<int>(rng.below(9)) - 4, shift_x = static_cast<int>(rng.below(9)) - 4;
    const bool flip = rng.below(2) == 1;
    const int y = static_cast<int>(rng.below(32)), x = static_cast<int>(rng.below(32));
    const Crop crop = augmentation.choose_crop(sample, sample_rng(sample));
    EXPECT_EQ(crop.shift_y, shift_y);
    EXPECT_EQ(crop.shift_x, shift_x);
    EXPECT_EQ(crop.flip, flip);
    EXPECT_EQ(crop.hole_top, std::max(0, y - 8));
    EXPECT_EQ(crop.hole_bottom, std::min(32, y + 8));
    EXPECT_EQ(crop.hole_left, std::max(0, x - 8));
    EXPECT_EQ(crop.hole_right, std::min(32, x + 8));
  }
}

}  // namespace
}  // namespace flowdarts
