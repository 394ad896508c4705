#include <cmath>
#include <flowdarts/stages/weight_step/sgd.hpp>
#include <numbers>

namespace flowdarts {

double cosine_lr(const WeightOptions& options, std::int64_t epoch, std::int64_t epochs) {
  const double phase = std::numbers::pi * static_cast<double>(epoch) / static_cast<double>(epochs);
  return options.lr_min + (options.lr - options.lr_min) * (1.0 + std::cos(phase)) / 2.0;
}

void clip_norm(std::vector<torch::Tensor>& gradients, double max_norm) {
  const torch::NoGradGuard no_grad;
  const torch::Tensor norm = torch::stack(at::_foreach_norm(gradients)).norm();
  // Stays on the device: a host branch on the norm would wait for it.
  const torch::Tensor scale = (max_norm / (norm + 1e-6)).clamp_max(1.0);
  at::_foreach_mul_(gradients, scale);
}

Sgd::Sgd(std::vector<torch::Tensor> weights, const WeightOptions& options)
    : weights_(std::move(weights)),
      momentum_factor_(options.momentum),
      weight_decay_(options.weight_decay),
      clip_(options.clip),
      nesterov_(options.nesterov) {
  const torch::NoGradGuard no_grad;
  for (const torch::Tensor& weight : weights_) momentum_.push_back(torch::zeros_like(weight));
}

void Sgd::step(std::vector<torch::Tensor>& gradients, double lr) {
  const torch::NoGradGuard no_grad;
  if (clip_ > 0.0) clip_norm(gradients, clip_);
  if (weight_decay_ != 0.0) at::_foreach_add_(gradients, weights_, weight_decay_);
  at::_foreach_mul_(momentum_, momentum_factor_);
  at::_foreach_add_(momentum_, gradients);
  if (nesterov_) {
    at::_foreach_add_(gradients, momentum_, momentum_factor_);
    at::_foreach_add_(weights_, gradients, -lr);
  } else {
    at::_foreach_add_(weights_, momentum_, -lr);
  }
}

}  // namespace flowdarts
