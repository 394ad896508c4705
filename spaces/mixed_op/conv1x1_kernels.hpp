#pragma once
// 1x1 convolution of pixels in channels-last memory, on a CPU: a product of a tall matrix with a small one, which the
// libraries' general products spend half their time to prepare. T: float, double or Bf16; weights and sums are
// Compute<T>.

#include <flowdarts/spaces/mixed_op/rows.hpp>

#include <cstdint>

namespace flowdarts::mixed_op {

/// y [pixels, out] = x [pixels, in] weight [in, out] + bias [out]; no bias where it is null. With the transposed weight
/// it takes the gradient of y to that of x.
template <class T>
void pointwise(const T* x, const Compute<T>* weight, const Compute<T>* bias, std::int64_t pixels, std::int64_t in,
               std::int64_t out, T* y);

/// Adds to dweight [in, out] the sums over pixels of x [pixels, in] times g [pixels, out]. Sums run in float over at
/// most 256 pixels (in double for double) and in double beyond.
template <class T>
void pointwise_weight_gradient(const T* x, const T* g, std::int64_t pixels, std::int64_t in, std::int64_t out,
                               double* dweight);

}  // namespace flowdarts::mixed_op
