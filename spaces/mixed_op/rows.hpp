#pragma once
// How the vector kernels of this folder see memory. No LibTorch here.

#include <cstdint>
#include <type_traits>

namespace flowdarts::mixed_op {

/// A bfloat16 in memory, laid out as c10::BFloat16. The kernels compute in float and round to nearest, ties to even.
struct Bf16 {
  std::uint16_t bits;
};

/// What activations of type T are computed in.
template <class T>
using Compute = std::conditional_t<std::is_same_v<T, double>, double, float>;

/// A matrix [pixels, channels] in channels-last memory: pixel p begins at data + p * stride. The stride may exceed the
/// channels, so that a slice of the output of several stacked convolutions is one as well.
template <class T>
struct Rows {
  T* data = nullptr;
  std::int64_t stride = 0;

  operator Rows<const T>() const { return {data, stride}; }  // NOLINT(google-explicit-constructor): as T* to const T*
  explicit operator bool() const { return data != nullptr; }
  [[nodiscard]] Rows from(std::int64_t pixel) const { return {data + pixel * stride, stride}; }
};

/// Pixels [begin, end) of every matrix of a call, so that callers split the work as they like.
struct PixelRange {
  std::int64_t begin = 0;
  std::int64_t end = 0;
};

}  // namespace flowdarts::mixed_op
