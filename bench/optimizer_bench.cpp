// One optimiser step on the parameters of the NAS-Bench-201 supernet, and of alpha: ours, a step of LibTorch's foreach
// operators, and LibTorch's own fused step.

#include <benchmark/benchmark.h>

#include <flowdarts/spaces/initialise.hpp>
#include <flowdarts/spaces/nas_bench_201/supernet.hpp>
#include <flowdarts/stages/arch_step/adam.hpp>
#include <flowdarts/stages/weight_step/sgd.hpp>

namespace flowdarts {
namespace {

constexpr int threads = 2;
constexpr double lr = 1e-6;  // many steps must not take the weights far

std::vector<torch::Tensor> detached(const std::vector<torch::Tensor>& tensors) {
  std::vector<torch::Tensor> result;
  for (const auto& tensor : tensors) result.push_back(tensor.detach().clone());
  return result;
}

std::vector<torch::Tensor> supernet_weights() {
  nas_bench_201::OracleSupernet supernet({.channels = 16, .cells = 1});
  initialise(supernet, 1);
  std::vector<torch::Tensor> weights = detached(supernet.parameters());
  for (torch::Tensor& weight : weights) {
    if (weight.dim() == 4) weight = weight.contiguous(torch::MemoryFormat::ChannelsLast);
  }
  return weights;
}

std::vector<torch::Tensor> alpha() {
  return detached(initial_alphas({{6, 5}}, 1e-3, 1));
}

std::vector<torch::Tensor> zeros_of(const std::vector<torch::Tensor>& tensors) {
  std::vector<torch::Tensor> result;
  for (const auto& tensor : tensors) result.push_back(torch::zeros_like(tensor));
  return result;
}

std::vector<torch::Tensor> gradients_of(const std::vector<torch::Tensor>& weights) {
  torch::manual_seed(1);
  std::vector<torch::Tensor> gradients;
  for (const auto& weight : weights) gradients.push_back(torch::randn_like(weight));
  return gradients;
}

/// Times step() on `threads` threads, in the way that a search calls it.
template <class Step>
void measure(benchmark::State& state, const Step& step) {
  at::set_num_threads(threads);
  const torch::NoGradGuard no_grad;
  for (auto _ : state) step();
}

WeightOptions weight_options(bool nesterov) {
  WeightOptions options;
  options.nesterov = nesterov;
  return options;
}

void sgd_flowdarts(benchmark::State& state, bool nesterov) {
  const auto gradients = gradients_of(supernet_weights());
  Sgd sgd(supernet_weights(), weight_options(nesterov));
  measure(state, [&] { sgd.step(gradients, lr); });
}

void sgd_foreach(benchmark::State& state, bool nesterov) {
  const auto weights = supernet_weights(), momentum = zeros_of(weights), gradients = gradients_of(weights);
  const WeightOptions options;
  const double factor = options.momentum, decay = options.weight_decay, clip = options.clip;
  measure(state, [&] {
    const torch::Tensor norm = torch::stack(at::_foreach_norm(gradients)).norm();
    at::_foreach_mul_(gradients, (clip / (norm + 1e-6)).clamp_max(1.0));
    at::_foreach_add_(gradients, weights, decay);
    at::_foreach_mul_(momentum, factor);
    at::_foreach_add_(momentum, gradients);
    if (nesterov) at::_foreach_add_(gradients, momentum, factor);
    at::_foreach_add_(weights, nesterov ? gradients : momentum, -lr);
  });
}

void sgd_libtorch_fused(benchmark::State& state, bool nesterov) {
  const auto weights = supernet_weights(), momentum = zeros_of(weights), gradients = gradients_of(weights);
  const WeightOptions options;
  const double factor = options.momentum, decay = options.weight_decay, clip = options.clip;
  measure(state, [&] {
    const torch::Tensor norm = torch::stack(at::_foreach_norm(gradients)).norm();
    const torch::Tensor divisor = ((norm + 1e-6) / clip).clamp_min(1.0);
    at::_fused_sgd_(weights, gradients, momentum, decay, factor, lr, /*dampening=*/0.0, nesterov, /*maximize=*/false,
                    /*is_first_step=*/false, divisor);
  });
}

void adam_flowdarts(benchmark::State& state, std::vector<torch::Tensor> (*parameters)()) {
  const auto gradients = gradients_of(parameters());
  Adam adam(parameters(), ArchOptions{});
  measure(state, [&] { adam.step(gradients); });
}

void adam_foreach(benchmark::State& state, std::vector<torch::Tensor> (*parameters)()) {
  const auto weights = parameters(), first = zeros_of(weights), second = zeros_of(weights);
  const auto gradients = gradients_of(weights);
  const ArchOptions options;
  const double alpha_lr = options.lr, beta1 = options.beta1, beta2 = options.beta2, decay = options.weight_decay;
  std::int64_t steps = 0;
  measure(state, [&] {
    ++steps;
    const double correction1 = 1.0 - std::pow(beta1, static_cast<double>(steps));
    const double correction2 = 1.0 - std::pow(beta2, static_cast<double>(steps));
    const auto direction = at::_foreach_add(gradients, weights, decay);
    at::_foreach_lerp_(first, direction, 1.0 - beta1);
    at::_foreach_mul_(second, beta2);
    at::_foreach_addcmul_(second, direction, direction, 1.0 - beta2);
    const auto root = at::_foreach_sqrt(second);
    at::_foreach_div_(root, std::sqrt(correction2));
    at::_foreach_add_(root, 1e-8);
    at::_foreach_addcdiv_(weights, first, root, -alpha_lr / correction1);
  });
}

void adam_libtorch_fused(benchmark::State& state, std::vector<torch::Tensor> (*parameters)()) {
  const auto weights = parameters(), first = zeros_of(weights), second = zeros_of(weights);
  const auto gradients = gradients_of(weights);
  std::vector<torch::Tensor> steps;
  for (std::size_t i = 0; i < weights.size(); ++i) steps.push_back(torch::zeros({}));
  const ArchOptions options;
  const double alpha_lr = options.lr, beta1 = options.beta1, beta2 = options.beta2, decay = options.weight_decay;
  measure(state, [&] {
    at::_foreach_add_(steps, 1.0);
    at::_fused_adam_(weights, gradients, first, second, {}, steps, alpha_lr, beta1, beta2, decay, 1e-8,
                     /*amsgrad=*/false, /*maximize=*/false);
  });
}

BENCHMARK_CAPTURE(sgd_flowdarts, momentum, false)->Unit(benchmark::kMicrosecond)->UseRealTime();
BENCHMARK_CAPTURE(sgd_foreach, momentum, false)->Unit(benchmark::kMicrosecond)->UseRealTime();
BENCHMARK_CAPTURE(sgd_libtorch_fused, momentum, false)->Unit(benchmark::kMicrosecond)->UseRealTime();
BENCHMARK_CAPTURE(sgd_flowdarts, nesterov, true)->Unit(benchmark::kMicrosecond)->UseRealTime();
BENCHMARK_CAPTURE(sgd_foreach, nesterov, true)->Unit(benchmark::kMicrosecond)->UseRealTime();
BENCHMARK_CAPTURE(sgd_libtorch_fused, nesterov, true)->Unit(benchmark::kMicrosecond)->UseRealTime();
BENCHMARK_CAPTURE(adam_flowdarts, supernet, supernet_weights)->Unit(benchmark::kMicrosecond)->UseRealTime();
BENCHMARK_CAPTURE(adam_foreach, supernet, supernet_weights)->Unit(benchmark::kMicrosecond)->UseRealTime();
BENCHMARK_CAPTURE(adam_libtorch_fused, supernet, supernet_weights)->Unit(benchmark::kMicrosecond)->UseRealTime();
BENCHMARK_CAPTURE(adam_flowdarts, alpha, alpha)->Unit(benchmark::kMicrosecond)->UseRealTime();
BENCHMARK_CAPTURE(adam_foreach, alpha, alpha)->Unit(benchmark::kMicrosecond)->UseRealTime();
BENCHMARK_CAPTURE(adam_libtorch_fused, alpha, alpha)->Unit(benchmark::kMicrosecond)->UseRealTime();

}  // namespace
}  // namespace flowdarts

BENCHMARK_MAIN();
