#pragma once
// The weight step: one SGD update of w on a batch of T.

#include <flowdarts/spaces/supernet.hpp>
#include <flowdarts/stages/weight_step/batch_results.hpp>
#include <flowdarts/stages/weight_step/device_batch.hpp>
#include <flowdarts/stages/weight_step/sgd.hpp>

#include <functional>
#include <vector>

namespace flowdarts {

/// Trains a supernet's weights; alpha stays as it is. Usable without the flow graph.
class WeightStep {
 public:
  /// The supernet must outlive the step.
  WeightStep(Supernet& supernet, const WeightOptions& options);

  /// op_weights as Supernet::forward takes them; no gradient of op_weights is
  /// computed. `inspect` is called between the forward pass and the update with pack_results() of the pass (hook
  /// H6a); what it throws leaves w as it was.
  void operator()(const DeviceBatch& batch, const std::vector<torch::Tensor>& op_weights, double lr,
                  const std::function<void(const torch::Tensor&)>& inspect);

  [[nodiscard]] const Sgd& optimizer() const { return sgd_; }

 private:
  Supernet& supernet_;
  Sgd sgd_;
};

}  // namespace flowdarts
