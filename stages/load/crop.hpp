#pragma once
// The augmentation of an image of fixed size, taken apart: what is chosen at random for it, and how each pixel follows
// from that. One code for host and device, so that both make the same bits. No LibTorch here.

#include <cstdint>

#ifdef __CUDACC__
#define FLOWDARTS_HOST_DEVICE __host__ __device__
#else
#define FLOWDARTS_HOST_DEVICE
#endif

namespace flowdarts {

/// What was chosen for one sample; as it is by default, the image stays as it is. Pixels; sides are at most 1024.
struct Crop {
  std::int64_t sample = 0;
  std::int16_t shift_x = 0, shift_y = 0;       ///< of the crop in the padded image, from the unshifted place
  std::int16_t hole_left = 0, hole_right = 0;  ///< the cutout in the result: columns [left, right) ...
  std::int16_t hole_top = 0, hole_bottom = 0;  ///< ... of rows [top, bottom)
  bool flip = false;                           ///< mirrored after the crop, before the cutout
};

/// Pixel (x, y) of the result: red, green, blue. image: size * size pixels of uint8, HWC. normalised: [3, 256], what
/// becomes of each value of each channel; black outside of the image is value 0, the hole is 0 after it.
FLOWDARTS_HOST_DEVICE inline void crop_pixel(const std::uint8_t* image, int size, const Crop& crop,
                                             const float* normalised, int x, int y, float (&rgb)[3]) {
  if (x >= crop.hole_left && x < crop.hole_right && y >= crop.hole_top && y < crop.hole_bottom) {
    rgb[0] = rgb[1] = rgb[2] = 0.0F;
    return;
  }
  const int from_x = (crop.flip ? size - 1 - x : x) + crop.shift_x, from_y = y + crop.shift_y;
  const bool inside = from_x >= 0 && from_x < size && from_y >= 0 && from_y < size;
  const std::int64_t pixel = std::int64_t{3} * (std::int64_t{from_y} * size + from_x);
  for (int c = 0; c < 3; ++c) rgb[c] = normalised[256 * c + (inside ? image[pixel + c] : 0)];
}

}  // namespace flowdarts
