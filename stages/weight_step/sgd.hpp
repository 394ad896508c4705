#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <flowdarts/spaces/support/option.hpp>
#include <vector>

namespace flowdarts {

/// How the supernet's weights are trained: SGD with momentum, gradient-norm clipping and a cosine learning rate
/// (docs/methods/darts.md).
struct WeightOptions {
  BOOST_HANA_DEFINE_STRUCT(
      WeightOptions, (Option<double, "learning rate of the first epoch", 0.025, Above{0.0}>, lr),
      (Option<double, "learning rate the cosine falls towards", 0.001, AtLeast{0.0}>, lr_min),
      (Option<std::int64_t, "epochs in which the learning rate grows first, in equal steps", 0, AtLeast{0}>, warm_up),
      (Option<double, "momentum", 0.9, HalfOpen{0.0, 1.0}>, momentum),
      (Option<bool, "Nesterov momentum", false>, nesterov),
      (Option<double, "weight decay (L2)", 3e-4, AtLeast{0.0}>, weight_decay),
      (Option<double, "largest norm of the gradient of all weights; 0: no clipping", 5.0, AtLeast{0.0}>, clip));
};

/// lr(t) = lr_min + (lr - lr_min) (1 + cos(pi t / epochs)) / 2 for the epoch t, counted from 0; in the warm-up
/// lr (t + 1) / warm_up.
double cosine_lr(const WeightOptions& options, std::int64_t epoch, std::int64_t epochs);

/// Scales the gradients so that the norm of all of them together is at most max_norm (torch's clip_grad_norm_).
void clip_norm(std::vector<torch::Tensor>& gradients, double max_norm);
/// The same as new tensors.
[[nodiscard]] std::vector<torch::Tensor> clipped(const std::vector<torch::Tensor>& gradients, double max_norm);

/// SGD with PyTorch's meaning of momentum, Nesterov and weight decay. Holds the weights it moves and their momentum.
class Sgd {
 public:
  Sgd(std::vector<torch::Tensor> weights, const WeightOptions& options);

  /// The learning rate of the steps to come.
  void set_lr(double lr);

  /// gradients: one a weight, undefined where it is zero; they stay as they are. On a CPU, float and double take one
  /// pass for the norm and one for the rest, with the same bits for any number of threads; on a GPU, in a build with
  /// FLOWDARTS_CUDA, they do as well, and the host never waits.
  void step(const std::vector<torch::Tensor>& gradients);
  void step(const std::vector<torch::Tensor>& gradients, double lr) {
    set_lr(lr);
    step(gradients);
  }
  /// Whether a step can be recorded (stages/graph_capture/): then each launch takes the learning rate set last.
  [[nodiscard]] bool recordable() const;

  [[nodiscard]] const std::vector<torch::Tensor>& weights() const { return weights_; }
  /// One buffer a weight, zero before the first step.
  [[nodiscard]] const std::vector<torch::Tensor>& momentum() const { return momentum_; }

 private:
  template <class T>
  void step_with_kernels(const std::vector<torch::Tensor>& gradients);
  void step_with_foreach(const std::vector<torch::Tensor>& gradients);

  std::vector<torch::Tensor> weights_;
  std::vector<torch::Tensor> momentum_;
  torch::Tensor lr_;  // [1], double: where the weights are, for kernels to read
  double lr_on_host_ = 0;
  double momentum_factor_, weight_decay_, clip_;
  bool nesterov_;
};

}  // namespace flowdarts
