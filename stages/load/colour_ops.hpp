#pragma once
// Changes of a pixel's colours as Pillow makes them. One code for host and device, so that both make the same bits,
// where products and sums are not fused. No LibTorch here.

#include <cmath>
#include <cstdint>
#include <flowdarts/stages/load/normalisation.hpp>

namespace flowdarts {

/// Red, green and blue, 0 .. 255.
struct Rgb {
  std::uint8_t values[3] = {};
};

/// From `zero` (factor 0) to `value` (factor 1) and beyond, cut off at the range's ends.
FLOWDARTS_HOST_DEVICE inline std::uint8_t blend(int zero, int value, float factor) {
  const float mixed = static_cast<float>(zero) + factor * static_cast<float>(value - zero);
  return static_cast<std::uint8_t>(mixed < 0.0F ? 0.0F : (mixed > 255.0F ? 255.0F : mixed));
}

/// The luma of ITU-R 601-2.
FLOWDARTS_HOST_DEVICE inline int grey_of(const std::uint8_t* rgb) {
  return (rgb[0] * 19595 + rgb[1] * 38470 + rgb[2] * 7471 + 0x8000) >> 16;
}

/// The mean grey value of `count` pixels whose grey values add up to `sum`, rounded.
FLOWDARTS_HOST_DEVICE inline int mean_of_greys(std::int64_t sum, std::int64_t count) {
  return static_cast<int>(static_cast<double>(sum) / static_cast<double>(count) + 0.5);
}

struct Hsv {
  int hue, saturation, value;  // 0 .. 255
};

FLOWDARTS_HOST_DEVICE inline Hsv to_hsv(const std::uint8_t* rgb) {
  const int red = rgb[0], green = rgb[1], blue = rgb[2];
  int low = red < green ? red : green, high = red < green ? green : red;
  low = blue < low ? blue : low;
  high = blue > high ? blue : high;
  if (low == high) return {0, 0, high};
  const auto range = static_cast<float>(high - low);
  const float below_red = static_cast<float>(high - red) / range,
              below_green = static_cast<float>(high - green) / range,
              below_blue = static_cast<float>(high - blue) / range;
  float sixths = 0;
  if (red == high) {
    sixths = below_blue - below_green;
  } else if (green == high) {
    sixths = 2 + below_red - below_blue;
  } else {
    sixths = 4 + below_green - below_red;
  }
  const double turns = static_cast<double>(sixths) / 6.0 + 1.0;
  const double hue = turns - std::floor(turns);
  return {static_cast<int>(hue * 255.0),
          static_cast<int>(static_cast<double>(range / static_cast<float>(high)) * 255.0), high};
}

FLOWDARTS_HOST_DEVICE inline void to_rgb(const Hsv& hsv, std::uint8_t* rgb) {
  const double sixths = hsv.hue * 6.0 / 255.0;
  const int sector = static_cast<int>(std::floor(sixths));
  const double into = sixths - sector, saturation = hsv.saturation / 255.0;
  // Of a value of at most 255 and parts of at most 1: within the range.
  const auto scaled = [&](double part) {
    return static_cast<std::uint8_t>(std::round(hsv.value * (1.0 - saturation * part)));
  };
  const auto v = static_cast<std::uint8_t>(hsv.value);
  const std::uint8_t least = scaled(1.0), falling = scaled(into), rising = scaled(1.0 - into);
  const auto set = [rgb](std::uint8_t red, std::uint8_t green, std::uint8_t blue) {
    rgb[0] = red, rgb[1] = green, rgb[2] = blue;
  };
  switch (sector % 6) {
    case 0:
      return set(v, rising, least);
    case 1:
      return set(falling, v, least);
    case 2:
      return set(least, v, rising);
    case 3:
      return set(least, falling, v);
    case 4:
      return set(rising, least, v);
    default:
      return set(v, least, falling);
  }
}

/// Where a shift of the hue by part of the colour circle, in [-1/2, 1/2], leads, in the circle's 256 steps.
inline int hue_steps(double part) {
  return static_cast<int>(part * 255.0);
}

FLOWDARTS_HOST_DEVICE inline void shift_hue(std::uint8_t* rgb, int steps) {
  Hsv hsv = to_hsv(rgb);
  hsv.hue = (hsv.hue + steps) & 255;
  to_rgb(hsv, rgb);
}

enum class ColourOp : std::uint8_t { brightness, contrast, saturation, hue };

/// A change of an image's colours. amount: the factor, as pixel_ops.hpp has it; of the hue, hue_steps().
struct ColourStep {
  ColourOp op = ColourOp::brightness;
  float amount = 1;
};

/// Changes of an image's colours that follow one another, none of them twice.
struct ColourSteps {
  ColourStep steps[4] = {};
  int count = 0;
};

/// What becomes of a pixel by the steps [first, last). mean_grey: mean_of_greys() of the image that contrast gets.
FLOWDARTS_HOST_DEVICE inline void change_colours(Rgb& pixel, const ColourSteps& colours, int first, int last,
                                                 int mean_grey) {
  std::uint8_t* rgb = pixel.values;
  for (int i = first; i < last; ++i) {
    const float amount = colours.steps[i].amount;
    if (colours.steps[i].op == ColourOp::hue) {
      shift_hue(rgb, static_cast<int>(amount));
      continue;
    }
    int zero = 0;
    if (colours.steps[i].op == ColourOp::contrast) zero = mean_grey;
    if (colours.steps[i].op == ColourOp::saturation) zero = grey_of(rgb);
    for (int c = 0; c < 3; ++c) rgb[c] = blend(zero, rgb[c], amount);
  }
}

/// The place of contrast in the steps, or their number.
FLOWDARTS_HOST_DEVICE inline int contrast_place(const ColourSteps& colours) {
  int place = 0;
  while (place < colours.count && colours.steps[place].op != ColourOp::contrast) ++place;
  return place;
}

}  // namespace flowdarts
