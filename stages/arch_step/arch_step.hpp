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
  /// (StepGraphs), and they are called once it is enqueued.
  template <class Inspect, class Observe>
  void operator()(const DeviceBatch& val, const DeviceBatch& train, const Sgd& sgd, const WeightOptions& weight_options,
                  double weight_lr, std::int64_t epoch, Inspect&& inspect, Observe&& observe) {
    using Tensors = std::vector<torch::Tensor>;
    const auto gradients = [&](const DeviceBatch& batch, auto&& see_results, auto&& see_gradients) {
      ArchGradient arch = gradient(batch, train, sgd, weight_options, weight_lr);
      see_results(pack_results(arch.val.loss, arch.val.logits, batch.labels));
      see_gradients(std::as_const(arch.gradients), adam_.alphas());
      if constexpr (RegularizesArch<ArchRegularizer>) {
        const auto extra = torch::autograd::grad({regularizer_.loss(adam_.alphas(), epoch)}, adam_.alphas());
        for (std::size_t i = 0; i < extra.size(); ++i) arch.gradients[i] = arch.gradients[i] + extra[i];
      }
      return arch.gradients;
    };
    if (!records()) {
      adam_.step(gradients(val, inspect, observe));
      return;
    }
    // The epoch is the one number of a recorded step that does not lie in device memory.
    if (RegularizesArch<ArchRegularizer> && std::exchange(recorded_epoch_, epoch) != epoch) graphs_.clear();
    adam_.advance();
    const Tensors& results = graphs_.run({val.images, val.labels}, [&](const Tensors& inputs) {
      Tensors all;
      adam_.update(gradients(
          {inputs[0], inputs[1]}, [&](const torch::Tensor& packed) { all.push_back(packed); },
          [&](const Tensors& found, const Tensors& alphas) {
            all.insert(all.end(), found.begin(), found.end());
            for (const torch::Tensor& alpha : alphas) all.push_back(alpha.detach().clone());
          }));
      return all;
    });
    inspect(results[0]);
    const auto middle = results.begin() + 1 + static_cast<std::ptrdiff_t>(adam_.alphas().size());
    observe(Tensors(results.begin() + 1, middle), Tensors(middle, results.end()));
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
    return Recordable<Relaxation> && Recordable<Bilevel> &&
           (Recordable<ArchRegularizer> || !RegularizesArch<ArchRegularizer>)&&graphs_.available() &&
           supernet_.recordable() && adam_.recordable();
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
  std::int64_t recorded_epoch_ = -1;
};

}  // namespace flowdarts
