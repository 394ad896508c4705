#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <flowdarts/spaces/supernet.hpp>
#include <flowdarts/spaces/support/option.hpp>
#include <flowdarts/stages/arch_step/adam_kernels.hpp>
#include <vector>

namespace flowdarts {

/// How alpha is trained: Adam with L2 added to the gradient (docs/methods/darts.md).
struct ArchOptions {
  BOOST_HANA_DEFINE_STRUCT(
      ArchOptions, (Option<double, "learning rate of alpha", 3e-4, Above{0.0}>, lr),
      (Option<double, "Adam's first decay rate", 0.5, HalfOpen{0.0, 1.0}>, beta1),
      (Option<double, "Adam's second decay rate", 0.999, HalfOpen{0.0, 1.0}>, beta2),
      (Option<double, "weight decay of alpha (L2 in the gradient)", 1e-3, AtLeast{0.0}>, weight_decay),
      (Option<double, "largest norm of the gradient of all alphas; 0: no clipping", 0, AtLeast{0.0}>, clip),
      (Option<double, "standard deviation of alpha's first values", 1e-3, AtLeast{0.0}>, init));
};

/// Adam (Kingma and Ba, ICLR 2015) over the architecture parameters, with PyTorch's eps of 1e-8.
class Adam {
 public:
  Adam(std::vector<torch::Tensor> alphas, const ArchOptions& options);

  /// advance(), then update(). gradients: one an alpha; they stay as they are. On a CPU and, in a build with
  /// FLOWDARTS_CUDA, on a GPU, float and double take one pass.
  void step(const std::vector<torch::Tensor>& gradients) {
    advance();
    update(gradients);
  }
  /// Counts a step: the next update corrects the moments' bias for it.
  void advance();
  void update(const std::vector<torch::Tensor>& gradients);
  /// Whether an update can be recorded (stages/graph_capture/): then each launch takes the corrections of the steps
  /// counted by then.
  [[nodiscard]] bool recordable() const;

  [[nodiscard]] const std::vector<torch::Tensor>& alphas() const { return alphas_; }
  [[nodiscard]] const std::vector<torch::Tensor>& first_moment() const { return first_; }
  [[nodiscard]] const std::vector<torch::Tensor>& second_moment() const { return second_; }
  [[nodiscard]] std::int64_t steps() const { return steps_; }
  /// For a resumed search; the moments are restored in place.
  void set_steps(std::int64_t steps) { steps_ = steps; }

 private:
  template <class T>
  void step_with_kernels(const std::vector<torch::Tensor>& gradients, const optimizer::AdamFactors& factors);
  void step_with_operators(const std::vector<torch::Tensor>& gradients, const optimizer::AdamFactors& factors);

  std::vector<torch::Tensor> alphas_, first_, second_;
  torch::Tensor changing_;  // [2], double: step size and root correction, where the alphas are, for kernels to read
  std::int64_t steps_ = 0;
  double step_size_ = 0, root_correction2_ = 1;  // the same on the host
  double lr_, beta1_, beta2_, weight_decay_, clip_;
};

/// alpha ~ init * N(0, 1) for each shape, keyed by (seed, Stream::alpha_init); float32 leaves that require grad.
std::vector<torch::Tensor> initial_alphas(const std::vector<ArchShape>& shapes, double init, std::uint64_t seed);

}  // namespace flowdarts
