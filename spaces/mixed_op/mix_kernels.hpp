#pragma once
// The passes over memory that a mix of candidate ops is made of, on a CPU. Each is one pass over PixelRange of its
// matrices; sums over pixels run in float over at most 256 pixels (in double for double) and in double beyond.
// T: float, double or Bf16.

#include <flowdarts/spaces/mixed_op/rows.hpp>

#include <cstdint>
#include <span>

namespace flowdarts::mixed_op {

/// scale [channels] times x.
template <class T>
struct ScaledTerm {
  Rows<const T> x;
  const Compute<T>* scale;
};

/// x less centre [channels]; null: x itself.
template <class T>
struct CentredTerm {
  Rows<const T> x;
  const Compute<T>* centre;
};

/// mean [channels] and the sum of squared deviations from it, squares [channels]. Copies x on the way, unless copy is
/// null.
template <class T>
void moments(Rows<const T> x, PixelRange pixels, std::int64_t channels, double* mean, double* squares, Rows<T> copy);

/// sum = shift + the scaled terms + (gate > 0 ? the gated terms : 0), and rectified = max(sum, 0). No shift, no gated
/// terms, no sum or no rectified where they are null or empty. gate is needed with gated terms only.
template <class T>
void weighted_sum(std::span<const ScaledTerm<T>> terms, const Compute<T>* shift, std::span<const Rows<const T>> gated,
                  Rows<const T> gate, PixelRange pixels, std::int64_t channels, Rows<T> sum, Rows<T> rectified);

/// total [channels] = the sum of g; dots [terms, channels] = the sums of g times each centred term. With a gate, g
/// counts only where gate > 0.
template <class T>
void dots(Rows<const T> g, Rows<const T> gate, std::span<const CentredTerm<T>> terms, PixelRange pixels,
          std::int64_t channels, double* total, double* dots);

/// dx = a g + b x + d, each [channels]; where b is null, a g alone. With a gate, g counts only where gate > 0. dx may
/// be x.
template <class T>
void gradient(Rows<const T> g, Rows<const T> gate, Rows<const T> x, const Compute<T>* a, const Compute<T>* b,
              const Compute<T>* d, PixelRange pixels, std::int64_t channels, Rows<T> dx);

}  // namespace flowdarts::mixed_op
