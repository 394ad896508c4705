#pragma once
// Depthwise convolution of images in channels-last memory, on a CPU: output channel c * multiplier + j reads input
// channel c alone. Callers split the work into rows, those of all images one after the other. Weights are tap-major,
// [kernel * kernel, out_channels], so that a tap is a vector of channels. T: float, double or Bf16; sums over taps are
// taken in Compute<T>.

#include <flowdarts/spaces/mixed_op/rows.hpp>

#include <cstdint>

namespace flowdarts::mixed_op {

/// An input [height, width, channels], a square kernel and what follows from them. Everything at least 1, padding at
/// least 0; reach() must not exceed the padded input.
struct DepthwiseShape {
  std::int64_t height;
  std::int64_t width;
  std::int64_t channels;
  std::int64_t multiplier = 1;
  std::int64_t kernel = 3;
  std::int64_t stride = 1;
  std::int64_t padding = 1;
  std::int64_t dilation = 1;
  bool relu_input = false;  // convolve max(x, 0)

  [[nodiscard]] std::int64_t reach() const { return (kernel - 1) * dilation + 1; }
  [[nodiscard]] std::int64_t taps() const { return kernel * kernel; }
  [[nodiscard]] std::int64_t out_height() const { return (height + 2 * padding - reach()) / stride + 1; }
  [[nodiscard]] std::int64_t out_width() const { return (width + 2 * padding - reach()) / stride + 1; }
  [[nodiscard]] std::int64_t out_channels() const { return channels * multiplier; }
  /// Values of an image.
  [[nodiscard]] std::int64_t in_image() const { return height * width * channels; }
  [[nodiscard]] std::int64_t out_image() const { return out_height() * out_width() * out_channels(); }
};

/// Rows [begin, end) of images that follow one another: row / height is the image.
struct RowRange {
  std::int64_t begin = 0;
  std::int64_t end = 0;
};

/// Writes `rows` of out [images, out_height, out_width, out_channels], the convolution of x [images, height, width,
/// channels].
template <class T>
void depthwise(const T* x, const Compute<T>* weight, const DepthwiseShape& shape, RowRange rows, T* out);

/// Writes `rows` of dx [images, height, width, channels] given g = dL/dout, or adds to them. x is read only where
/// shape.relu_input: its gradient is 0 where x is not above 0.
template <class T>
void depthwise_input_gradient(const T* g, const T* x, const Compute<T>* weight, const DepthwiseShape& shape,
                              RowRange rows, T* dx, bool add = false);

/// Adds to dweight [taps, out_channels] what `rows` of g contribute to dL/dweight. Sums run in float over at most 256
/// pixels (in double for double) and in double beyond.
template <class T>
void depthwise_weight_gradient(const T* g, const T* x, const DepthwiseShape& shape, RowRange rows, double* dweight);

}  // namespace flowdarts::mixed_op
