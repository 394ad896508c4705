#pragma once
// 1x1 convolutions of a mixed op (ReLU, convolution, batch norm) whose outputs are never kept: what the passes over the
// pixels in pointwise_kernels.hpp need and what follows from their sums. All of it is small, per convolution, in
// double.

#include <flowdarts/spaces/mixed_op/normalisation.hpp>
#include <flowdarts/spaces/mixed_op/pointwise_kernels.hpp>
#include <flowdarts/spaces/mixed_op/tensors.hpp>

#include <span>
#include <vector>

namespace flowdarts::mixed_op {

/// Of max(x, 0) over a batch: each channel's mean [C], the sums of products of two channels' deviations from it [C, C].
struct Covariance {
  std::vector<double> mean;
  torch::Tensor products;
  double count = 0;
};

/// Collects the covariance of a batch: add() each image once, in any order and from any thread, then result().
class CovarianceSums {
 public:
  /// x [B, C, H, W], channels-last, CPU.
  explicit CovarianceSums(const torch::Tensor& x);
  void add(std::int64_t image);
  [[nodiscard]] Covariance result() const;

 private:
  torch::Tensor x_;
  std::vector<double> means_;  // [B, C]
  torch::Tensor products_;     // [B, C, C]
};

/// One such convolution with its batch norm, for the time of a pass through the supernet.
class PointwiseConv {
 public:
  /// weight [C, C, 1, 1]; bias [C], or undefined. input: what the convolution reads of this process's share of the
  /// batch; null where the norm uses its running statistics.
  PointwiseConv(const torch::Tensor& weight, const torch::Tensor& bias, const Covariance* input);

  /// Of the output; empty where there is no input.
  [[nodiscard]] const Moments& moments() const { return output_; }
  /// Sets what the output is normalised with; batch: as mixed_op::normalise() takes it. Before all that follows.
  void normalise(const BatchNorm& norm, const Moments& batch) { norm_ = mixed_op::normalise(norm, batch); }
  [[nodiscard]] const Normalisation& norm() const { return norm_; }

  /// What `weight` times the normalised output adds to a node: max(x, 0) matrix + shift; matrix [C, C], input channel
  /// first.
  struct Contribution {
    std::vector<double> matrix, shift;
  };
  [[nodiscard]] Contribution contribution(double weight) const;

  /// sum g (y - mean) [C], of g's sum `total` [C] and products [C, C] = sum max(x, 0) g', input channel first.
  [[nodiscard]] std::vector<double> dot(std::span<const double> total, std::span<const double> products) const;

  /// dL/dweight [C, C, 1, 1], for gradient = input_gradient() of the norm; this process's part, as the sums are.
  [[nodiscard]] torch::Tensor weight_gradient(const InputGradient& gradient, std::span<const double> total,
                                              std::span<const double> products) const;

  /// dL/d max(x, 0) = g of_g + max(x, 0) of_x + shift; matrices [C, C], the channel of g or x first. Sets of_g, adds to
  /// the others, which all convolutions of one x share.
  void add_input_gradient(const InputGradient& gradient, std::span<double> of_g, std::span<double> of_x,
                          std::span<double> shift) const;

 private:
  std::int64_t channels_;
  torch::Tensor weight_;  // [C, C], output channel first, double
  std::vector<double> bias_;
  const Covariance* input_;
  torch::Tensor spread_;  // weight times the input's covariance
  Moments output_;
  Normalisation norm_;
};

}  // namespace flowdarts::mixed_op
