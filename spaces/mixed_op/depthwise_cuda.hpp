#pragma once
// Depthwise convolution on a GPU, in channels-last memory without gaps. All pointers are to device memory; nothing here
// waits for the device; sums are always added in the same order. T: float, double or Bf16; sums are taken in
// Compute<T>.

#include <flowdarts/spaces/mixed_op/rows.hpp>

#include <cstddef>
#include <cstdint>
#include <string>

namespace flowdarts::mixed_op {

/// x [images, height, width, channels] convolved to [images, out_height, out_width, channels * multiplier]: output
/// channel c * multiplier + j reads input channel c. Everything at least 1, padding at least 0; less than 2^31 pixels.
struct DeviceConvolution {
  std::int64_t images;
  std::int64_t height, width, channels;
  std::int64_t out_height, out_width;
  std::int64_t multiplier;
  std::int64_t kernel, stride, padding, dilation;
  bool relu_input;  // convolve max(x, 0)
};

/// weight is tap-major: [kernel * kernel, channels * multiplier]. All three enqueue on `stream` (a
/// cudaStream_t) of the current device and return what failed, nothing on success.
template <class T>
[[nodiscard]] std::string depthwise_cuda(const T* x, const Compute<T>* weight, const DeviceConvolution& shape, T* out,
                                         void* stream);

/// dx given g = dL/dout. x is read only where shape.relu_input: its gradient is 0 where x is not above 0.
template <class T>
[[nodiscard]] std::string depthwise_input_gradient_cuda(const T* g, const T* x, const Compute<T>* weight,
                                                        const DeviceConvolution& shape, T* dx, void* stream);

/// dweight [channels * multiplier, kernel * kernel] given g; scratch: depthwise_scratch() bytes, aligned to 16.
template <class T>
[[nodiscard]] std::string depthwise_weight_gradient_cuda(const T* g, const T* x, const DeviceConvolution& shape,
                                                         void* scratch, Compute<T>* dweight, void* stream);
[[nodiscard]] std::size_t depthwise_scratch(const DeviceConvolution& shape);

}  // namespace flowdarts::mixed_op
