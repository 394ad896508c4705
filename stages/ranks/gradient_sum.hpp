#pragma once
// Gradients of a loss whose batch several processes share.

#include <torch/torch.h>

#include <cstdint>
#include <flowdarts/stages/ranks/tensor_sum.hpp>
#include <memory>
#include <vector>

namespace flowdarts {

/// Differentiates and sums over the ranks, in buckets and while the backward pass goes on: a bucket is on its way as
/// soon as all its gradients are there and those before it are. All ranks differentiate the same losses in the same
/// order.
class GradientSum {
 public:
  /// bucket_bytes: a bucket takes gradients until it holds so many. A backward pass reaches the inputs given last
  /// first.
  explicit GradientSum(std::unique_ptr<SumBeside> sum, std::int64_t bucket_bytes = std::int64_t{1} << 20U);

  /// The gradients of the whole batch's mean loss: the sum over ranks of share * d(loss)/d(input), 0 for an input that
  /// the loss does not depend on. `loss`: the mean over this rank's samples; `share`: their part of the batch, the
  /// shares of all ranks adding up to 1. Inputs are float32 or float64 on one device. The graph is freed. The same bits
  /// in each rank.
  [[nodiscard]] std::vector<torch::Tensor> operator()(const torch::Tensor& loss,
                                                      const std::vector<torch::Tensor>& inputs, double share) const;

 private:
  std::unique_ptr<SumBeside> sum_;
  std::int64_t bucket_bytes_;
};

}  // namespace flowdarts
