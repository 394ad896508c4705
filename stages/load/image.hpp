#pragma once
// A decoded image, and how a caller asks for a part of it.

#include <cstdint>
#include <functional>
#include <vector>

namespace flowdarts {

/// A rectangle of an image in pixels of full resolution. `shrink` (1, 2, 4 or 8) allows the decoder to deliver it at
/// 1/shrink of that resolution, which JPEG decodes much faster.
struct Region {
  int left = 0, top = 0, width = 0, height = 0;
  int shrink = 1;
};

/// Chooses the region that is needed of an image of this width and height. It must lie inside the image and not be
/// empty. Called exactly once for each image, before its pixels are decoded.
using ChooseRegion = std::function<Region(int width, int height)>;

inline Region whole_image(int width, int height) {
  return {0, 0, width, height, 1};
}

/// Pixels as uint8 RGB, row by row, interleaved (HWC): what the JPEG and PNG libraries deliver, so that nothing is
/// shuffled before the one pass that normalises into planes. They cover at least the requested region;
/// `left`, `top` say where they lie in the image at 1/shrink of its resolution.
struct Image {
  int width = 0, height = 0;
  int left = 0, top = 0;
  int shrink = 1;
  std::vector<std::uint8_t> pixels;  // height * width * 3
};

}  // namespace flowdarts
