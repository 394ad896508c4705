#include <cmath>
#include <flowdarts/spaces/support/random.hpp>
#include <flowdarts/stages/arch_step/adam.hpp>

namespace flowdarts {

Adam::Adam(std::vector<torch::Tensor> alphas, const ArchOptions& options)
    : alphas_(std::move(alphas)),
      lr_(options.lr),
      beta1_(options.beta1),
      beta2_(options.beta2),
      weight_decay_(options.weight_decay) {
  const torch::NoGradGuard no_grad;
  for (const torch::Tensor& alpha : alphas_) {
    first_.push_back(torch::zeros_like(alpha));
    second_.push_back(torch::zeros_like(alpha));
  }
}

void Adam::step(const std::vector<torch::Tensor>& gradients) {
  constexpr double eps = 1e-8;
  const torch::NoGradGuard no_grad;
  ++steps_;
  const double correction1 = 1.0 - std::pow(beta1_, static_cast<double>(steps_));
  const double correction2 = 1.0 - std::pow(beta2_, static_cast<double>(steps_));
  for (std::size_t i = 0; i < alphas_.size(); ++i) {
    const torch::Tensor gradient = gradients[i].add(alphas_[i], weight_decay_);
    first_[i].mul_(beta1_).add_(gradient, 1.0 - beta1_);
    second_[i].mul_(beta2_).addcmul_(gradient, gradient, 1.0 - beta2_);
    const torch::Tensor denominator = (second_[i].sqrt() / std::sqrt(correction2)).add_(eps);
    alphas_[i].addcdiv_(first_[i], denominator, -lr_ / correction1);
  }
}

std::vector<torch::Tensor> initial_alphas(const std::vector<ArchShape>& shapes, double init, std::uint64_t seed) {
  std::vector<torch::Tensor> alphas;
  for (std::size_t m = 0; m < shapes.size(); ++m) {
    torch::Tensor alpha = torch::empty({shapes[m].rows, shapes[m].columns}, torch::kFloat);
    CounterRng rng(seed, Stream::alpha_init, 0, 0, m);
    for (float& value : std::span(alpha.data_ptr<float>(), static_cast<std::size_t>(alpha.numel()))) {
      value = static_cast<float>(init * rng.normal());
    }
    alphas.push_back(alpha.requires_grad_());
  }
  return alphas;
}

}  // namespace flowdarts
