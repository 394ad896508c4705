#pragma once
// What a bilevel policy differentiates: two losses of the same weights and architecture parameters.

#include <torch/torch.h>

#include <functional>
#include <vector>

namespace flowdarts {

/// A loss and what it was computed from.
struct Evaluation {
  torch::Tensor loss;                     ///< scalar, attached to the graph of w and alpha
  torch::Tensor logits;                   ///< [B, classes]; undefined where there are none
  std::vector<torch::Tensor> op_weights;  ///< of the pass, between alpha and the loss in its graph
  double share = 1;                       ///< of the whole batch, where several processes share one
};

/// The gradients of a loss, 0 for what it does not depend on: an op that is not run leaves its weights out.
inline std::vector<torch::Tensor> gradients_of(const Evaluation& evaluation, const std::vector<torch::Tensor>& inputs) {
  std::vector<torch::Tensor> gradients =
      torch::autograd::grad({evaluation.loss}, inputs, {}, /*retain_graph=*/false, /*create_graph=*/false,
                            /*allow_unused=*/true);
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    if (!gradients[i].defined()) gradients[i] = torch::zeros_like(inputs[i]);
  }
  return gradients;
}

/// The state of one step as a bilevel policy sees it. The tensors are the live ones: changing them changes the
/// supernet.
struct BilevelProblem {
  std::vector<torch::Tensor> weights;   ///< leaves, require grad
  std::vector<torch::Tensor> alphas;    ///< leaves, require grad
  std::vector<torch::Tensor> momentum;  ///< the weight optimiser's buffers; empty before its first step
  double weight_lr = 0.0;               ///< of this epoch
  double weight_momentum = 0.0;
  double weight_decay = 0.0;
  std::function<Evaluation()> train_loss;            ///< on this step's batch of T, at the present w and alpha
  std::function<Evaluation()> val_loss;              ///< on this step's batch of V
  std::function<void(bool)> set_statistics_updates;  ///< whether a forward pass moves batch norm's running statistics
  /// How a policy differentiates: of the loss of the whole batch, whoever has parts of it.
  std::function<std::vector<torch::Tensor>(const Evaluation&, const std::vector<torch::Tensor>& inputs)> gradients =
      gradients_of;
};

/// The gradient an arch step follows, and the pass on V it came from.
struct ArchGradient {
  std::vector<torch::Tensor> gradients;  ///< of L_V with respect to each of BilevelProblem::alphas
  std::vector<torch::Tensor>
      op_weight_gradients;  ///< of L_V with respect to each of val.op_weights, in that pass alone
  Evaluation val;
};

/// Splits the gradients of one loss with respect to alphas, op weights and whatever follows.
inline std::vector<torch::Tensor> take_front(std::vector<torch::Tensor>& gradients, std::size_t count) {
  const auto end = gradients.begin() + static_cast<std::ptrdiff_t>(count);
  std::vector<torch::Tensor> front(gradients.begin(), end);
  gradients.erase(gradients.begin(), end);
  return front;
}

}  // namespace flowdarts
