#pragma once
// The vectorised passes of a resize on a CPU.

#include <cstddef>
#include <cstdint>
#include <span>

namespace flowdarts {

/// sums[i] = sum over k of weights[k] * rows[k * stride + i], added up in this order: the same bits on every CPU.
void weigh_rows(const std::uint8_t* rows, std::size_t stride, std::span<const float> weights, std::span<float> sums);

/// bytes[i] = values[i], cut off at 0 and 255 and rounded, halves up: the same on every CPU.
void round_to_bytes(std::span<const float> values, std::uint8_t* bytes);

}  // namespace flowdarts
