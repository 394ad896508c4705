#pragma once
// The pass of a resize over the rows of an image, on a CPU.

#include <cstddef>
#include <cstdint>
#include <span>

namespace flowdarts {

/// sums[i] = sum over k of weights[k] * rows[k * stride + i], added up in this order: the same bits on every CPU.
void weigh_rows(const std::uint8_t* rows, std::size_t stride, std::span<const float> weights, std::span<float> sums);

}  // namespace flowdarts
