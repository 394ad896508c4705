#include <flowdarts/stages/weight_step/rmsprop.hpp>
#include <flowdarts/stages/weight_step/sgd.hpp>

namespace flowdarts {

RmsProp::RmsProp(std::vector<torch::Tensor> weights, const RmsPropFactors& factors)
    : weights_(std::move(weights)), factors_(factors) {
  const torch::NoGradGuard no_grad;
  for (const torch::Tensor& weight : weights_) {
    momentum_.push_back(torch::zeros_like(weight));
    squares_.push_back(torch::ones_like(weight));
  }
}

void RmsProp::step(std::vector<torch::Tensor> gradients, double lr) {
  TORCH_CHECK(gradients.size() == weights_.size(), "RMSprop: found ", gradients.size(), " gradients for ",
              weights_.size(), " weights");
  if (weights_.empty()) return;
  const torch::NoGradGuard no_grad;
  for (std::size_t i = 0; i < gradients.size(); ++i) {
    if (!gradients[i].defined()) gradients[i] = torch::zeros_like(weights_[i]);
  }
  if (factors_.clip > 0.0) clip_norm(gradients, factors_.clip);
  if (factors_.weight_decay != 0.0) gradients = at::_foreach_add(gradients, weights_, factors_.weight_decay);
  at::_foreach_mul_(squares_, factors_.decay);
  at::_foreach_addcmul_(squares_, gradients, gradients, 1.0 - factors_.decay);
  std::vector<torch::Tensor> root = at::_foreach_add(squares_, factors_.epsilon);
  at::_foreach_sqrt_(root);
  at::_foreach_mul_(momentum_, factors_.momentum);
  at::_foreach_addcdiv_(momentum_, gradients, root, lr);
  at::_foreach_sub_(weights_, momentum_);
}

}  // namespace flowdarts
