#pragma once

#include <torch/torch.h>

#include <vector>

namespace flowdarts {

struct RmsPropFactors {
  double momentum = 0.9;
  double weight_decay = 0;  ///< L2, part of the gradient
  double decay = 0.9;       ///< of the mean square
  double epsilon = 1e-3;    ///< added to the mean square, inside the root
  double clip = 0;          ///< largest norm of all gradients together; 0: no clipping
};

/// RMSprop as TensorFlow defines it, with which EfficientNets are trained (Tan and Le, "EfficientNet", ICML 2019):
///   s <- decay s + (1 - decay) g^2,  m <- momentum m + lr g / sqrt(s + epsilon),  w <- w - m,
/// s beginning at 1. The learning rate is inside the momentum. Holds the weights it moves.
class RmsProp {
 public:
  RmsProp(std::vector<torch::Tensor> weights, const RmsPropFactors& factors);

  /// gradients: one a weight, undefined where it is zero.
  void step(std::vector<torch::Tensor> gradients, double lr);

  [[nodiscard]] const std::vector<torch::Tensor>& weights() const { return weights_; }
  /// One buffer a weight: m, 0 before the first step.
  [[nodiscard]] const std::vector<torch::Tensor>& momentum() const { return momentum_; }
  /// One buffer a weight: s.
  [[nodiscard]] const std::vector<torch::Tensor>& squares() const { return squares_; }

 private:
  std::vector<torch::Tensor> weights_, momentum_, squares_;
  RmsPropFactors factors_;
};

}  // namespace flowdarts
