#pragma once
// Antialiased resizing, as Pillow's Image.resize and PyTorch's interpolate(antialias=True) do it: each output pixel is
// a weighted mean of input pixels under a filter whose support grows with the reduction, weights renormalised at the
// edges. Unlike them, nothing is rounded to 8 bits on the way.

#include <array>
#include <cstdint>

#include <flowdarts/stages/load/image.hpp>
#include <span>
#include <string_view>
#include <utility>

namespace flowdarts {

enum class ResizeFilter : std::uint8_t {
  bilinear,  ///< a triangle
  bicubic    ///< Keys' cubic with a = -1/2, as Pillow's; its results may lie outside of the values' range
};

constexpr std::array<std::pair<ResizeFilter, std::string_view>, 2> names_of(ResizeFilter) {
  return {{{ResizeFilter::bilinear, "bilinear"}, {ResizeFilter::bicubic, "bicubic"}}};
}

/// How output pixels map to input pixels along one axis. The centre of output pixel j lies at
/// begin + (j + 0.5) * step; input pixel x covers [x, x + 1); only pixels in [clip_begin, clip_end) are read.
/// Coordinates are those of the image at 1/shrink resolution, of which an Image may hold a part.
struct ResizeAxis {
  double begin = 0;
  double step = 1;
  int clip_begin = 0, clip_end = 0;
};

/// Per channel: normalised = value * scale + bias, for values 0 .. 255.
struct ChannelScale {
  float scale[3];
  float bias[3];
};

/// Resizes to width x height, mirrors left-right if `flip`, normalises, and writes planes [3, height, width].
/// The image must hold every pixel within the clips that an output pixel depends on.
void resize(const Image& image, const ResizeAxis& horizontal, const ResizeAxis& vertical, bool flip,
            const ChannelScale& scale, int width, int height, std::span<float> out,
            ResizeFilter filter = ResizeFilter::bilinear);

/// The same as uint8 pixels [height, width, 3]: not normalised, cut off at 0 and 255 and rounded.
void resize_pixels(const Image& image, const ResizeAxis& horizontal, const ResizeAxis& vertical, bool flip, int width,
                   int height, std::span<std::uint8_t> out, ResizeFilter filter = ResizeFilter::bilinear);

}  // namespace flowdarts
