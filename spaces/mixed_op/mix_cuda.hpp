#pragma once
// The passes over memory that a mix of candidate ops is made of, on a GPU: one kernel forwards and one backwards, each
// with its reductions inside; two where processes share the batch statistics, who then add up what the first one found.
// Nothing here waits for the device; sums are always added in the same order. All pointers are to device memory;
// matrices are [pixels, channels] in channels-last memory. T: float, double or Bf16.

#include <flowdarts/spaces/mixed_op/device_values.hpp>
#include <flowdarts/spaces/mixed_op/rows.hpp>

#include <cstddef>
#include <cstdint>
#include <string>

namespace flowdarts::mixed_op {

inline constexpr int max_mix_terms = 48;  // as many as fit in the arguments of a kernel

/// What a term is normalised with.
enum class TermNorm : std::uint8_t {
  none,
  running,  // running_mean and running_var
  batch,    // the statistics of x
  updating  // the same, and the running statistics are moved towards them
};

template <class T>
struct MixForwardTerm {
  Rows<const T> x;
  void* gamma = nullptr;         // [channels], or null: 1
  void* beta = nullptr;          // [channels], or null: 0
  void* running_mean = nullptr;  // [channels], where the norm needs it; no two terms move the same one
  void* running_var = nullptr;
  TermNorm norm = TermNorm::none;
  std::int32_t place = 0;  // of its weight among the weights; no two terms share one
};

/// out = sum_t weights[place of t] norm_t(x_t), rectified = max(out, 0). A term of weight 0 is read for its statistics
/// alone.
template <class T>
struct MixForward {
  MixForwardTerm<T> terms[max_mix_terms];
  int count = 0;
  bool wide = false;  // the arrays of the terms are of double, else of float
  std::int64_t pixels = 0;
  std::int64_t channels = 0;
  DeviceValues weights;          // or none: 1
  Rows<T> out;                   // written; null where nobody asks
  Rows<T> rectified;             // the same
  double* statistics = nullptr;  // [count, 2, channels], written: mean and 1 / sqrt(variance + eps) of normalised terms
  const double* moments = nullptr;  // of all processes that share the batch: sums of mix_moments_cuda()'s; null: of one
  void* scratch = nullptr;          // mix_forward_scratch() bytes, aligned to 16
  double eps = 0;
  double momentum = 0;  // running = (1 - momentum) running + momentum batch, with Bessel's correction
};

template <class T>
struct MixBackwardTerm {
  Rows<const T> x;
  void* gamma = nullptr;  // as in the forward pass
  void* beta = nullptr;
  void* dgamma = nullptr;  // [channels], written; null where nobody asks
  void* dbeta = nullptr;
  Rows<T> dx;  // written; null where nobody asks
  TermNorm norm = TermNorm::none;
  std::int32_t place = 0;  // as in the forward pass
};

/// The gradients of MixForward that are asked for, given g = dL/dout.
template <class T>
struct MixBackward {
  MixBackwardTerm<T> terms[max_mix_terms];
  int count = 0;
  bool wide = false;
  std::int64_t pixels = 0;
  std::int64_t channels = 0;
  DeviceValues weights;   // as in the forward pass
  DeviceValues dweights;  // written at the terms' places; none where nobody asks
  Rows<const T> g;
  Rows<const T> gate;  // the rectified result where that is what g belongs to, else null: g counts where gate > 0
  const double* statistics = nullptr;  // as the forward pass left them
  const double* dots = nullptr;        // where processes share the batch: mix_dots_cuda()'s; null: where one has it
  const double* all_dots = nullptr;    // and their sums over all of them
  const double* all_pixels = nullptr;  // and how many pixels they have: the last of the forward pass's moments
  void* scratch = nullptr;             // mix_backward_scratch() bytes, aligned to 16
};

[[nodiscard]] std::size_t mix_forward_scratch(int terms, std::int64_t pixels, std::int64_t channels);
[[nodiscard]] std::size_t mix_backward_scratch(int terms, std::int64_t pixels, std::int64_t channels);

/// The numbers that mix_moments_cuda() and mix_dots_cuda() write.
constexpr std::int64_t moments_size(int terms, std::int64_t channels) {
  return 2 * terms * channels + 1;
}
constexpr std::int64_t dots_size(int terms, std::int64_t channels) {
  return (terms + 1) * channels;
}

/// Enqueues the pass on `stream` (a cudaStream_t) of the current device. At least one term, pixel and channel. Returns
/// what failed, nothing on success.
template <class T>
[[nodiscard]] std::string mix_forward_cuda(const MixForward<T>& mix, void* stream);
template <class T>
[[nodiscard]] std::string mix_backward_cuda(const MixBackward<T>& mix, void* stream);

/// What this process's pixels add to the statistics of the whole batch. moments: sums of x and of its square [count, 2,
/// channels], 0 for terms that do not need them, then the number of pixels.
template <class T>
[[nodiscard]] std::string mix_moments_cuda(const MixForward<T>& mix, double* moments, void* stream);

/// What this process's pixels add to the sums of the backward pass. dots [count + 1, channels]: of each term the sum of
/// g (x - mean), or of g x without a norm, then the sum of g; 0 where nothing needs them.
template <class T>
[[nodiscard]] std::string mix_dots_cuda(const MixBackward<T>& mix, double* dots, void* stream);

/// Whether the gradient of an input depends on these sums.
template <class T>
[[nodiscard]] bool mix_needs_dots(const MixBackward<T>& mix);

}  // namespace flowdarts::mixed_op
