#pragma once
// The arch step: one Adam update of alpha on a batch of V.

#include <cstdint>
#include <flowdarts/policies/bilevel/problem.hpp>
#include <flowdarts/spaces/supernet.hpp>
#include <flowdarts/spaces/support/capabilities.hpp>
#include <flowdarts/stages/arch_step/adam.hpp>
#include <flowdarts/stages/graph_capture/step_graphs.hpp>
#include <flowdarts/stages/ranks/gradient_sum.hpp>
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
/// One that looks at the ops that are left.
template <class Policy>
concept RegularizesMaskedArch = requires(const Policy& policy, const std::vector<torch::Tensor>& tensors,
                                         std::int64_t epoch) {
  { policy.loss(tensors, tensors, epoch) } -> std::convertible_to<torch::Tensor>;
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
  /// The supernet must outlive the step. alphas: leaves, one for each of supernet.arch_shapes(); none for a relaxation
  /// without alpha. `sum`, which must outlive it too, differentiates where several processes share batches; null: this
  /// one has them to itself.
  ArchStep(Supernet& supernet, std::vector<torch::Tensor> alphas, const ArchOptions& options, Relaxation relaxation,
           Bilevel bilevel, ArchRegularizer regularizer, const GradientSum* sum = nullptr)
      : supernet_(supernet),
        sum_(sum),
        shapes_(supernet.arch_shapes()),
        adam_(std::move(alphas), options),
        relaxation_(std::move(relaxation)),
        bilevel_(std::move(bilevel)),
        regularizer_(std::move(regularizer)),
        graphs_(sum == nullptr ? recorders_for(adam_.alphas()) : Recorders{}) {}

  /// The relaxation of alpha and masks as they are, attached to alpha's graph.
  [[nodiscard]] std::vector<torch::Tensor> op_weights() const {
    std::vector<torch::Tensor> weights;
    if constexpr (provides<Relaxation, tags::trainable_alpha>) {
      for (std::size_t m = 0; m < adam_.alphas().size(); ++m) weights.push_back(relaxed(adam_.alphas()[m], m));
    } else {
      for (const torch::Tensor& mask : masks_) weights.push_back(relaxation_.op_weights(mask));
    }
    return weights;
  }

  /// As op_weights() if no op were gone. For relaxations with alpha.
  [[nodiscard]] std::vector<torch::Tensor> unmasked_op_weights() const {
    std::vector<torch::Tensor> weights;
    for (std::size_t m = 0; m < adam_.alphas().size(); ++m) weights.push_back(unmasked(adam_.alphas()[m], m));
    return weights;
  }

  /// Says which ops are left: 0 or 1, one matrix for each of supernet.arch_shapes(), on alpha's device. None: all are.
  void set_masks(std::vector<torch::Tensor> masks) {
    supernet_.set_masks(masks);
    masks_ = std::move(masks);
    forget_graphs();
  }
  [[nodiscard]] const std::vector<torch::Tensor>& masks() const { return masks_; }

  /// One update. `train` is read by orders that differentiate through the weight step. `inspect` is called with
  /// pack_results() of the forward pass on V (hook H4a), `observe` with the ArchGradient of L_V, before the regulariser
  /// and Adam touch it (H4b). Both come before the update; what they throw leaves alpha as it was. On a GPU the whole
  /// step is a CUDA graph where policies and supernet allow it (StepGraphs), less what a regulariser adds, and they are
  /// called once it is enqueued.
  template <class Inspect, class Observe>
  void operator()(const DeviceBatch& val, const DeviceBatch& train, const Sgd& sgd, const WeightOptions& weight_options,
                  double weight_lr, std::int64_t epoch, Inspect&& inspect, Observe&& observe) {
    using Tensors = std::vector<torch::Tensor>;
    if (!records()) {
      const ArchGradient arch = gradient(val, train, sgd, weight_options, weight_lr);
      inspect(pack_results(arch.val.loss, arch.val.logits, val.labels));
      observe(arch);
      adam_.step(regularized(arch.gradients, epoch));
      return;
    }
    // A regulariser reads the epoch on the host: its part and the update then follow the graph.
    if constexpr (!regularizes) adam_.advance();
    Tensors results = graphs_.run({val.images, val.labels}, [&](const Tensors& inputs) {
      const DeviceBatch batch{inputs[0], inputs[1]};
      const ArchGradient arch = gradient(batch, train, sgd, weight_options, weight_lr);
      Tensors all = arch.gradients;
      all.insert(all.end(), arch.op_weight_gradients.begin(), arch.op_weight_gradients.end());
      // Clones: the update below would show in weights that are alpha itself.
      for (const torch::Tensor& weights : arch.val.op_weights) all.push_back(weights.detach().clone());
      all.push_back(arch.val.loss.detach());
      all.push_back(arch.val.logits.detach());
      all.push_back(pack_results(arch.val.loss, arch.val.logits, batch.labels));
      if constexpr (!regularizes) adam_.update(arch.gradients);
      return all;
    });
    const std::size_t count = adam_.alphas().size();
    ArchGradient arch{.gradients = take_front(results, count), .op_weight_gradients = take_front(results, count)};
    arch.val = {.loss = results[count], .logits = results[count + 1], .op_weights = take_front(results, count)};
    inspect(results.back());
    observe(std::as_const(arch));
    if constexpr (regularizes) adam_.step(regularized(arch.gradients, epoch));
  }

  /// To be called when the supernet's forward pass became another one: by another set of ops, say.
  void forget_graphs() { graphs_.clear(); }

  /// dL_V/dalpha as the bilevel policy sees it, without an update.
  [[nodiscard]] ArchGradient gradient(const DeviceBatch& val, const DeviceBatch& train, const Sgd& sgd,
                                      const WeightOptions& weight_options, double weight_lr) {
    const auto loss_on = [this](const DeviceBatch& batch) { return [this, &batch] { return evaluate(batch); }; };
    const BilevelProblem problem{
        .weights = sgd.weights(),
        .alphas = adam_.alphas(),
        .momentum = sgd.momentum(),
        .weight_lr = weight_lr,
        .weight_momentum = weight_options.momentum,
        .weight_decay = weight_options.weight_decay,
        .train_loss = loss_on(train),
        .val_loss = loss_on(val),
        .set_statistics_updates = [this](bool on) { supernet_.set_statistics_updates(on); },
        .gradients = [this](const Evaluation& evaluation,
                            const std::vector<torch::Tensor>& inputs) { return differentiate(evaluation, inputs); }};
    return bilevel_.arch_gradient(problem);
  }

  /// dL_V/dalpha at the present w, leaving running statistics alone: what measurements of V differentiate.
  [[nodiscard]] std::vector<torch::Tensor> val_gradient(const DeviceBatch& val) {
    supernet_.set_statistics_updates(false);
    auto gradients = differentiate(evaluate(val), adam_.alphas());
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

  static constexpr bool regularizes = RegularizesArch<ArchRegularizer> || RegularizesMaskedArch<ArchRegularizer>;

  /// The gradients of L_V and the regulariser together.
  [[nodiscard]] std::vector<torch::Tensor> regularized(std::vector<torch::Tensor> gradients, std::int64_t epoch) const {
    const auto add = [&](const torch::Tensor& loss) {
      const auto extra = torch::autograd::grad({loss}, adam_.alphas());
      for (std::size_t i = 0; i < extra.size(); ++i) gradients[i] = gradients[i] + extra[i];
    };
    if constexpr (RegularizesMaskedArch<ArchRegularizer>) {
      add(regularizer_.loss(adam_.alphas(), masks_, epoch));
    } else if constexpr (RegularizesArch<ArchRegularizer>) {
      add(regularizer_.loss(adam_.alphas(), epoch));
    }
    return gradients;
  }

  Evaluation evaluate(const DeviceBatch& batch) {
    supernet_.train();
    std::vector<torch::Tensor> weights = op_weights();
    torch::Tensor logits = supernet_.forward(batch.images, weights);
    torch::Tensor loss = torch::nn::functional::cross_entropy(logits, batch.labels);
    return {std::move(loss), std::move(logits), std::move(weights), batch.share};
  }

  [[nodiscard]] std::vector<torch::Tensor> differentiate(const Evaluation& evaluation,
                                                         const std::vector<torch::Tensor>& inputs) const {
    return sum_ != nullptr ? (*sum_)(evaluation.loss, inputs, evaluation.share) : gradients_of(evaluation, inputs);
  }

  [[nodiscard]] torch::Tensor relaxed(const torch::Tensor& alpha, std::size_t m) const {
    if constexpr (provides<Relaxation, tags::maskable>) {
      if (!masks_.empty()) {
        if constexpr (requires { relaxation_.op_weights(alpha, shapes_[m], masks_[m]); }) {
          return relaxation_.op_weights(alpha, shapes_[m], masks_[m]);
        } else {
          return relaxation_.op_weights(alpha, masks_[m]);
        }
      }
    }
    return unmasked(alpha, m);
  }

  [[nodiscard]] torch::Tensor unmasked(const torch::Tensor& alpha, std::size_t m) const {
    if constexpr (requires { relaxation_.op_weights(alpha, shapes_[m]); }) {
      return relaxation_.op_weights(alpha, shapes_[m]);
    } else {
      return relaxation_.op_weights(alpha);
    }
  }

  Supernet& supernet_;
  const GradientSum* sum_;
  std::vector<ArchShape> shapes_;
  Adam adam_;
  std::vector<torch::Tensor> masks_;
  Relaxation relaxation_;
  Bilevel bilevel_;
  ArchRegularizer regularizer_;
  StepGraphs graphs_;
};

}  // namespace flowdarts
