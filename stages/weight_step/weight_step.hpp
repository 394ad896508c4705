#pragma once
// The weight step: one SGD update of w on a batch of T.

#include <flowdarts/spaces/supernet.hpp>
#include <flowdarts/stages/weight_step/batch_results.hpp>
#include <flowdarts/stages/weight_step/sgd.hpp>

namespace flowdarts {

/// Trains a supernet's weights; alpha stays as it is. Usable without the flow graph.
class WeightStep {
 public:
  /// The supernet must outlive the step.
  WeightStep(Supernet& supernet, const WeightOptions& options);

  /// images [B, 3, H, W], labels int64 [B], op_weights as Supernet::forward takes them; no gradient of op_weights is
  /// computed. Returns pack_results() of the forward pass, which saw w as it was before the update.
  torch::Tensor operator()(const torch::Tensor& images, const torch::Tensor& labels,
                           const std::vector<torch::Tensor>& op_weights, double lr);

  [[nodiscard]] const Sgd& optimizer() const { return sgd_; }

 private:
  Supernet& supernet_;
  Sgd sgd_;
};

}  // namespace flowdarts
