#pragma once
// The arch step: one Adam update of alpha on a batch of V.

#include <cstdint>
#include <flowdarts/policies/bilevel/problem.hpp>
#include <flowdarts/spaces/supernet.hpp>
#include <flowdarts/stages/arch_step/adam.hpp>
#include <flowdarts/stages/graph_capture/step_graphs.hpp>
#include <flowdarts/stages/weight_step/batch_results.hpp>
#include <flowdarts/stages/weight_step/weight_step.hpp>
#include <utility>
#include <vector>

namespace flowdarts {

/// A regulariser is a loss on alpha; a policy without one is left out at compile time.
template <class Policy>
concept RegularizesArch = requires(const Policy& policy, const std::vector<torch::Tensor>& alphas, std::int64_t epoch) {
  { policy.loss(alphas, epoch) } -> std::convertible_to<torch::Tensor>;
};

/// A policy whose part of an arch step can be recorded and launched again (StepGraphs): it says so.
template <class Policy>
concept Recordable = requires {
  requires Policy::recordable;
};

/// Trains alpha as the policies say; w stays as it is. Usable without the flow graph.
template <class Relaxation, class Bilevel, class ArchRegularizer>
class ArchStep {
 public:
  /// The supernet must outlive the step. alphas: leaves, one for each of supernet.arch_shapes().
  ArchStep(Supernet& supernet, std::vector<torch::Tensor> alphas, const ArchOptions& options, Relaxation relaxation,
           Bilevel bilevel, ArchRegularizer regularizer)
      : supernet_(supernet),
        adam_(std::move(alphas), options),
        relaxation_(std::move(relaxation)),
        bilevel_(std::move(bilevel)),
        regularizer_(std::move(regularizer)),
        graphs_(recorders_for(adam_.alphas())) {}

  /// The relaxation of alpha as it is, attached to alpha's graph.
  [[nodiscard]] std::vector<torch::Tensor> op_weights() const {
    std::vector<torch::Tensor> weights;
    for (const torch::Tensor& alpha : adam_.alphas()) weights.push_back(relaxation_.op_weights(alpha));
    return weights;
  }

  /// One update. `train` is read by orders that differentiate through the weight step. `inspect` is called with
  /// pack_results() of the forward pass on V (hook H4a), `observe` with the gradient of L_V with respect to each alpha,
  /// before the regulariser touches it, and with the alphas before the update (H4b). Both come before the update; what
  /// they throw leaves alpha as it was. On a GPU the whole step is a CUDA graph where policies and supernet allow it
  /// (StepGraphs), less what a regulariser adds, and they are called once it is enqueued.
  template <class Inspect, class Observe>
  void operator()(const DeviceBatch& val, const DeviceBatch& train, const Sgd& sgd, const WeightOptions& weight_options,
                  double weight_lr, std::int64_t epoch, Inspect&& inspect, Observe&& observe) {
    using Tensors = std::vector<torch::Tensor>;
    if (!records()) {
      const ArchGradient arch = gradient(val, train, sgd, weight_options, weight_lr);
      inspect(pack_results(arch.val.loss, arch.val.logits, val.labels));
      observe(arch.gradients, adam_.alphas());
      adam_.step(regularized(arch.gradients, epoch));
      return;
    }
    // A regulariser reads the epoch on the host: its part and the update then follow the graph.
    constexpr bool updates = !RegularizesArch<ArchRegularizer>;
    if constexpr (updates) adam_.advance();
    const Tensors& results = graphs_.run({val.images, val.labels}, [&](const Tensors& inputs) {
      const DeviceBatch batch{inputs[0], inputs[1]};
      const ArchGradient arch = gradient(batch, train, sgd, weight_options, weight_lr);
      Tensors all{pack_results(arch.val.loss, arch.val.logits, batch.labels)};
      all.insert(all.end(), arch.gradients.begin(), arch.gradients.end());
      for (const torch::Tensor& alpha : adam_.alphas()) all.push_back(alpha.detach().clone());
      if constexpr (updates) adam_.update(arch.gradients);
      return all;
    });
    inspect(results[0]);
    const auto middle = results.begin() + 1 + static_cast<std::ptrdiff_t>(adam_.alphas().size());
    const Tensors gradients(results.begin() + 1, middle), before(middle, results.end());
    observe(gradients, before);
    if constexpr (!updates) adam_.step(regularized(gradients, epoch));
  }

  /// To be called when the supernet's forward pass became another one: by another set of ops, say.
  void forget_graphs() { graphs_.clear(); }

  /// dL_V/dalpha as the bilevel policy sees it, without an update.
  [[nodiscard]] ArchGradient gradient(const DeviceBatch& val, const DeviceBatch& train, const Sgd& sgd,
                                      const WeightOptions& weight_options, double weight_lr) {
    const auto loss_on = [this](const DeviceBatch& batch) { return [this, &batch] { return evaluate(batch); }; };
    const BilevelProblem problem{.weights = sgd.weights(),
                                 .alphas = adam_.alphas(),
                                 .momentum = sgd.momentum(),
                                 .weight_lr = weight_lr,
                                 .weight_momentum = weight_options.momentum,
                                 .weight_decay = weight_options.weight_decay,
                                 .train_loss = loss_on(train),
                                 .val_loss = loss_on(val),
                                 .set_statistics_updates = [this](bool on) { supernet_.set_statistics_updates(on); }};
    return bilevel_.arch_gradient(problem);
  }

  /// dL_V/dalpha at the present w, leaving running statistics alone: what measurements of V differentiate.
  [[nodiscard]] std::vector<torch::Tensor> val_gradient(const DeviceBatch& val) {
    supernet_.set_statistics_updates(false);
    auto gradients = torch::autograd::grad({evaluate(val).loss}, adam_.alphas());
    supernet_.set_statistics_updates(true);
    return gradients;
  }

  [[nodiscard]] Adam& optimizer() { return adam_; }
  [[nodiscard]] const Adam& optimizer() const { return adam_; }
  [[nodiscard]] Bilevel& bilevel() { return bilevel_; }
  [[nodiscard]] ArchRegularizer& regularizer() { return regularizer_; }

 private:
  [[nodiscard]] bool records() const {
    return Recordable<Relaxation> && Recordable<Bilevel> && graphs_.available() && supernet_.recordable() &&
           adam_.recordable();
  }

  /// The gradients of L_V and the regulariser together.
  [[nodiscard]] std::vector<torch::Tensor> regularized(std::vector<torch::Tensor> gradients, std::int64_t epoch) const {
    if constexpr (RegularizesArch<ArchRegularizer>) {
      const auto extra = torch::autograd::grad({regularizer_.loss(adam_.alphas(), epoch)}, adam_.alphas());
      for (std::size_t i = 0; i < extra.size(); ++i) gradients[i] = gradients[i] + extra[i];
    }
    return gradients;
  }

  Evaluation evaluate(const DeviceBatch& batch) {
    supernet_.train();
    torch::Tensor logits = supernet_.forward(batch.images, op_weights());
    torch::Tensor loss = torch::nn::functional::cross_entropy(logits, batch.labels);
    return {std::move(loss), std::move(logits)};
  }

  Supernet& supernet_;
  Adam adam_;
  Relaxation relaxation_;
  Bilevel bilevel_;
  ArchRegularizer regularizer_;
  StepGraphs graphs_;
};

}  // namespace flowdarts
