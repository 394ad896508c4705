#pragma once
// The vectorised passes of a resize on a CPU. All make the same bits on every CPU.

#include <array>
#include <cstddef>
#include <cstdint>
#include <flowdarts/stages/load/resize.hpp>
#include <span>

namespace flowdarts {

/// sums[i] = sum over k of weights[k] * rows[k * stride + i], added up in this order.
void weigh_rows(const std::uint8_t* rows, std::size_t stride, std::span<const float> weights, std::span<float> sums);

/// Pixel x is the sum over k of weights[k][x] * the pixel of three floats at row + offsets[x] + 3 k, added up in this
/// order. offsets: of a multiple of 8 pixels. weights: [k, pixels, 4], each four times. pixels: [pixels, 4], of which
/// the fourth float means nothing; that of the row's last pixel is read as well.
void weigh_pixels(const float* row, std::span<const int> offsets, std::span<const float> weights,
                  std::span<float> pixels);

/// The first `count` of pixels [.., 4] as three planes, normalised.
void normalise_pixels(std::span<const float> pixels, std::size_t count, const ChannelScale& scale,
                      const std::array<float*, 3>& planes);

/// The first `count` of pixels [.., 4] as bytes [count, 3], cut off at 0 and 255 and rounded, halves up.
void round_pixels(std::span<const float> pixels, std::size_t count, std::uint8_t* bytes);

}  // namespace flowdarts
