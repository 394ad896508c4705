#pragma once
// Batch norm inside a mix: from the moments of a batch to the coefficients of the kernels.

#include <flowdarts/spaces/mixed_op/batch_norm.hpp>

#include <memory>
#include <span>
#include <vector>

namespace flowdarts::mixed_op {

/// Per channel: mean and sum of squared deviations over `count` pixels.
struct Moments {
  std::vector<double> mean;
  std::vector<double> squares;
  double count = 0;
};

/// Adds the pixels of `channels` channels of x [B, C, H, W], channels-last, CPU, from channel `first` on, and copies
/// them to `copy` [B, channels, H, W] on the way where it is defined. The same bits for any number of threads.
void add_moments(Moments& all, const torch::Tensor& x, std::int64_t first, std::int64_t channels,
                 const torch::Tensor& copy = {});

/// Adds `count` pixels of which the mean and the sum of squared deviations from it are known, both [channels].
void add_part(Moments& all, std::span<const double> mean, std::span<const double> squares, double count);

/// Of all channels of x.
inline Moments moments(const torch::Tensor& x) {
  Moments all;
  add_moments(all, x, 0, x.size(1));
  return all;
}

/// Numbers that one message adds up over the processes which share batch statistics; no message where none do.
class Exchange {
 public:
  /// run() makes `values` their sums over all processes; they stay where they are until then. Nothing is done where
  /// `sum` is null.
  void add(const std::shared_ptr<const RankSum>& sum, std::span<double> values);

  /// run() makes `batch`, the moments of what `norm` reads of this process's share, those of the whole batch; nothing
  /// where a pass of the norm does not use them.
  void add(const BatchNorm& norm, Moments& batch);

  void run();

 private:
  std::shared_ptr<const RankSum> sum_;
  std::vector<std::span<double>> parts_;
  std::vector<Moments*> moments_;  // on their way as sums of values and squares
};

/// What a batch norm does to its channels in one pass: xhat = (x - mean) * inverse_std, then gamma * xhat + beta.
struct Normalisation {
  std::vector<double> mean, inverse_std, gamma, beta;
  double count = 0;                              // pixels behind a mean and deviation of the batch itself
  bool batch_statistics = false;                 // else running ones, which do not depend on x
  std::shared_ptr<const RankSum> sum = nullptr;  // over the processes whose shares make the batch; null: it is here
};

/// The pass of `norm` over a batch; moves the running statistics where the module's mode says so (variance with
/// Bessel's correction, as LibTorch). `batch` is read only where the pass uses the batch's statistics, and is that of
/// the whole batch where processes share them.
Normalisation normalise(const BatchNorm& norm, const Moments& batch);

/// The gradient of a mix with respect to one normalised term, from the channel sums that the backward pass reduces.
struct TermGradient {
  double weight = 0;                // dL/d(weight of the term)
  std::vector<double> gamma, beta;  // dL/dgamma, dL/dbeta
};

/// g: the mix's gradient; total[c] = sum of g, dot[c] = sum of g (x - mean); weight: the term's.
TermGradient term_gradient(const Normalisation& norm, double weight, std::span<const double> total,
                           std::span<const double> dot);

/// dL/dx = a g + b x + d of one term, channel by channel; where b is empty, a g alone. Where processes share the norm's
/// statistics, total and dot are sums over all of them; term_gradient() has this process's part.
struct InputGradient {
  std::vector<double> a, b, d;
};
InputGradient input_gradient(const Normalisation& norm, double weight, std::span<const double> total,
                             std::span<const double> dot);

}  // namespace flowdarts::mixed_op
