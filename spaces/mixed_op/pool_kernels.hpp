#pragma once
// Average and max pool of one image in channels-last memory, on a CPU, in Compute<T>. T: float, double or Bf16.

#include <flowdarts/spaces/mixed_op/rows.hpp>

#include <cstdint>

namespace flowdarts::mixed_op {

inline constexpr std::int64_t max_pool_kernel = 8;

/// An input [height, width, channels] and a square window: kernel from 1 to max_pool_kernel, stride at least 1, padding
/// from 0 to kernel / 2, so that no window is empty.
struct PoolGeometry {
  std::int64_t height;
  std::int64_t width;
  std::int64_t kernel = 3;
  std::int64_t stride = 1;
  std::int64_t padding = 1;

  [[nodiscard]] std::int64_t out_height() const { return (height + 2 * padding - kernel) / stride + 1; }
  [[nodiscard]] std::int64_t out_width() const { return (width + 2 * padding - kernel) / stride + 1; }
};

/// out [out_height, out_width, channels]: the mean of each window's pixels, padding not counted.
template <class T>
void average_pool(const T* x, const PoolGeometry& geometry, std::int64_t channels, T* out);

/// dx [height, width, channels] given g = dL/dout.
template <class T>
void average_pool_backward(const T* g, const PoolGeometry& geometry, std::int64_t channels, T* dx);

/// out [out_height, out_width, channels]: the maximum of each window; NaN where the window holds one.
template <class T>
void max_pool(const T* x, const PoolGeometry& geometry, std::int64_t channels, T* out);

/// dx [height, width, channels] given g = dL/dout. A window's gradient goes to the first of its largest pixels, row by
/// row; where it holds NaNs, to the last of them (as in LibTorch).
template <class T>
void max_pool_backward(const T* g, const T* x, const PoolGeometry& geometry, std::int64_t channels, T* dx);

}  // namespace flowdarts::mixed_op
