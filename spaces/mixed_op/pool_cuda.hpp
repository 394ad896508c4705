#pragma once
// Average and max pool on a GPU, in channels-last memory without gaps. All pointers are to device memory; nothing here
// waits for the device. T: float, double or Bf16; sums are taken in Compute<T>.

#include <flowdarts/spaces/mixed_op/rows.hpp>

#include <cstdint>
#include <string>

namespace flowdarts::mixed_op {

/// x [images, height, width, channels] pooled to [images, out_height, out_width, channels]. A square window as
/// PoolGeometry has it: kernel from 1 to 8, stride at least 1, padding from 0 to kernel / 2. Less than 2^31 pixels.
struct DevicePool {
  std::int64_t images;
  std::int64_t height, width, channels;
  std::int64_t out_height, out_width;
  std::int64_t kernel, stride, padding;
};

/// The mean of each window's pixels, padding not counted. All enqueue on `stream` (a cudaStream_t) of the current
/// device and return what failed, nothing on success.
template <class T>
[[nodiscard]] std::string average_pool_cuda(const T* x, const DevicePool& shape, T* out, void* stream);

/// dx given g = dL/dout.
template <class T>
[[nodiscard]] std::string average_pool_gradient_cuda(const T* g, const DevicePool& shape, T* dx, void* stream);

/// The maximum of each window; NaN where the window holds one. chosen, laid out as out, or null: the place in the
/// window (row * kernel + column) that the gradient goes to: the first of the largest, row by row; the last of the NaNs
/// where there are any.
template <class T>
[[nodiscard]] std::string max_pool_cuda(const T* x, const DevicePool& shape, T* out, std::uint8_t* chosen,
                                        void* stream);

/// dx given g and what max_pool_cuda() wrote to chosen.
template <class T>
[[nodiscard]] std::string max_pool_gradient_cuda(const T* g, const std::uint8_t* chosen, const DevicePool& shape, T* dx,
                                                 void* stream);

}  // namespace flowdarts::mixed_op
