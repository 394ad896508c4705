#pragma once
// The weight step: one SGD update of w on a batch of T.

#include <flowdarts/spaces/supernet.hpp>
#include <flowdarts/stages/graph_capture/step_graphs.hpp>
#include <flowdarts/stages/ranks/gradient_sum.hpp>
#include <flowdarts/stages/weight_step/batch_results.hpp>
#include <flowdarts/stages/weight_step/device_batch.hpp>
#include <flowdarts/stages/weight_step/sgd.hpp>

#include <functional>
#include <vector>

namespace flowdarts {

/// Trains a supernet's weights; alpha stays as it is. Usable without the flow graph.
class WeightStep {
 public:
  using Inspect = std::function<void(const torch::Tensor&)>;

  /// The supernet must outlive the step, and so must `sum`, which differentiates where several processes share batches;
  /// null: this one has them to itself.
  WeightStep(Supernet& supernet, const WeightOptions& options, const GradientSum* sum = nullptr);

  /// op_weights as Supernet::forward takes them; no gradient of op_weights is
  /// computed. `inspect` is called between the forward pass and the update with pack_results() of the pass (hook
  /// H6a); what it throws leaves w as it was. On a GPU the whole step is a CUDA graph where the supernet allows it
  /// (StepGraphs), and `inspect` is called once it is enqueued.
  void operator()(const DeviceBatch& batch, const std::vector<torch::Tensor>& op_weights, double lr,
                  const Inspect& inspect);

  /// To be called when the supernet's forward pass became another one: by another set of ops, say.
  void forget_graphs() { graphs_.clear(); }

  [[nodiscard]] const Sgd& optimizer() const { return sgd_; }

 private:
  void run(const DeviceBatch& batch, const std::vector<torch::Tensor>& op_weights, const Inspect& inspect);

  Supernet& supernet_;
  const GradientSum* sum_;
  Sgd sgd_;
  StepGraphs graphs_;
};

}  // namespace flowdarts
