#pragma once
// The augmentation of an image of fixed size, taken apart: what is chosen at random for it, and how each pixel follows
// from that. One code for host and device, so that both make the same bits. No LibTorch here.

#include <cstdint>
#include <flowdarts/stages/load/colour_ops.hpp>

namespace flowdarts {

/// What was chosen for one sample; as it is by default, the image stays as it is. Pixels; sides are at most 1024.
struct Crop {
  std::int64_t sample = 0;                     ///< the image's number where it lies
  std::int16_t shift_x = 0, shift_y = 0;       ///< of the crop in the padded image, from the unshifted place
  std::int16_t hole_left = 0, hole_right = 0;  ///< the cutout in the result: columns [left, right) ...
  std::int16_t hole_top = 0, hole_bottom = 0;  ///< ... of rows [top, bottom)
  bool flip = false;                           ///< mirrored after the crop
  ColourSteps colours = {};                    ///< after the crop
  float lighting[3] = {};                      ///< added to the channels after normalisation, before the cutout
};

/// Pixel (x, y) of the result before its colours change. image: size * size pixels of uint8, HWC; black outside of it.
FLOWDARTS_HOST_DEVICE inline Rgb cropped_pixel(const std::uint8_t* image, int size, const Crop& crop, int x, int y) {
  const int from_x = (crop.flip ? size - 1 - x : x) + crop.shift_x, from_y = y + crop.shift_y;
  Rgb pixel;
  if (from_x < 0 || from_x >= size || from_y < 0 || from_y >= size) return pixel;
  const std::uint8_t* from = image + std::int64_t{3} * (std::int64_t{from_y} * size + from_x);
  for (int c = 0; c < 3; ++c) pixel.values[c] = from[c];
  return pixel;
}

/// The sum over pixels first, first + stride, ... of the grey values that contrast gets. Where the colours' steps have
/// no contrast, nobody needs it.
FLOWDARTS_HOST_DEVICE inline std::int64_t sum_of_greys(const std::uint8_t* image, int size, const Crop& crop, int first,
                                                       int stride) {
  const int place = contrast_place(crop.colours);
  std::int64_t sum = 0;
  for (int i = first; i < size * size; i += stride) {
    Rgb pixel = cropped_pixel(image, size, crop, i % size, i / size);
    change_colours(pixel, crop.colours, 0, place, 0);
    sum += grey_of(pixel.values);
  }
  return sum;
}

/// Pixel (x, y) of the result: red, green, blue. normalised: [3, 256], what becomes of each value of each channel.
/// mean_grey: mean_of_greys() of sum_of_greys() of all pixels.
FLOWDARTS_HOST_DEVICE inline void augmented_pixel(const std::uint8_t* image, int size, const Crop& crop, int mean_grey,
                                                  const float* normalised, int x, int y, float (&rgb)[3]) {
  if (x >= crop.hole_left && x < crop.hole_right && y >= crop.hole_top && y < crop.hole_bottom) {
    rgb[0] = rgb[1] = rgb[2] = 0.0F;
    return;
  }
  Rgb pixel = cropped_pixel(image, size, crop, x, y);
  change_colours(pixel, crop.colours, 0, crop.colours.count, mean_grey);
  for (int c = 0; c < 3; ++c) rgb[c] = normalised[256 * c + pixel.values[c]] + crop.lighting[c];
}

}  // namespace flowdarts
