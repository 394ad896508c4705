#pragma once
// Batch norm and the clamp behind it (ReLU6: from 0 to 6), on a CPU, in passes over memory as those of mix_kernels.hpp.
// T: float, double or Bf16.

#include <flowdarts/spaces/mixed_op/rows.hpp>

#include <cstdint>
#include <limits>

namespace flowdarts::mixed_op {

/// min(max(y, low), high). Its gradient is that of y where low < y < high and 0 elsewhere.
struct Clamp {
  float low = -std::numeric_limits<float>::infinity();
  float high = std::numeric_limits<float>::infinity();
};
inline constexpr Clamp relu6{0, 6};

/// out = clamp(scale x + shift), scale and shift [channels]. NaN stays NaN.
template <class T>
void scale_clamp(Rows<const T> x, const Compute<T>* scale, const Compute<T>* shift, Clamp clamp, PixelRange pixels,
                 std::int64_t channels, Rows<T> out);

/// passed = g where the clamp of scale x + shift lets it through, else 0; passed may be g. Adds to total [channels] the
/// sum of passed, to dots [channels] that of passed times (x - centre). Sums run in float over at most 256 pixels (in
/// double for double) and in double beyond.
template <class T>
void clamp_dots(Rows<const T> g, Rows<const T> x, const Compute<T>* scale, const Compute<T>* shift,
                const Compute<T>* centre, Clamp clamp, PixelRange pixels, std::int64_t channels, Rows<T> passed,
                double* total, double* dots);

}  // namespace flowdarts::mixed_op
