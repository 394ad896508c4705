#include <cmath>
#include <flowdarts/stages/weight_step/multi_tensor.hpp>
#include <flowdarts/stages/weight_step/sgd.hpp>
#include <flowdarts/stages/weight_step/sgd_kernels.hpp>
#include <numbers>
#include <numeric>
#ifdef FLOWDARTS_CUDA
#include <flowdarts/stages/weight_step/optimizers_on_gpu.hpp>
#endif

namespace flowdarts {

double cosine_lr(const WeightOptions& options, std::int64_t epoch, std::int64_t epochs) {
  if (epoch < options.warm_up) {
    return options.lr * static_cast<double>(epoch + 1) / static_cast<double>(options.warm_up.value);
  }
  const double phase = std::numbers::pi * static_cast<double>(epoch) / static_cast<double>(epochs);
  return options.lr_min + (options.lr - options.lr_min) * (1.0 + std::cos(phase)) / 2.0;
}

namespace {

#ifdef FLOWDARTS_CUDA
constexpr bool with_gpu = true;
#else
constexpr bool with_gpu = false;
#endif

// What clipping multiplies the gradients by, as clip_grad_norm_ has it: NaN where the norm is.
double clip_scale(double norm, double max_norm) {
  const double scale = max_norm / (norm + 1e-6);
  return scale > 1.0 ? 1.0 : scale;
}

// Stays on the device: a host branch on the norm would wait for it.
torch::Tensor clip_scale(const std::vector<torch::Tensor>& gradients, double max_norm) {
  const torch::Tensor norm = torch::stack(at::_foreach_norm(gradients)).norm();
  return (max_norm / (norm + 1e-6)).clamp_max(1.0);
}

}  // namespace

void clip_norm(std::vector<torch::Tensor>& gradients, double max_norm) {
  const torch::NoGradGuard no_grad;
  at::_foreach_mul_(gradients, clip_scale(gradients, max_norm));
}

std::vector<torch::Tensor> clipped(const std::vector<torch::Tensor>& gradients, double max_norm) {
  const torch::NoGradGuard no_grad;
  return at::_foreach_mul(gradients, clip_scale(gradients, max_norm));
}

Sgd::Sgd(std::vector<torch::Tensor> weights, const WeightOptions& options)
    : weights_(std::move(weights)),
      momentum_factor_(options.momentum),
      weight_decay_(options.weight_decay),
      clip_(options.clip),
      nesterov_(options.nesterov) {
  const torch::NoGradGuard no_grad;
  for (const torch::Tensor& weight : weights_) momentum_.push_back(torch::zeros_like(weight));
  lr_ = torch::zeros({1}, torch::TensorOptions(torch::kDouble)
                              .device(weights_.empty() ? torch::Device(torch::kCPU) : weights_.front().device()));
}

void Sgd::set_lr(double lr) {
  if (lr == lr_on_host_) return;
  const torch::NoGradGuard no_grad;
  lr_.fill_(lr);  // a kernel's argument: nothing is copied from the host, which would wait
  lr_on_host_ = lr;
}

bool Sgd::recordable() const {
  return optimizer::takes_kernels(weights_, with_gpu);
}

void Sgd::step(const std::vector<torch::Tensor>& gradients) {
  TORCH_CHECK(gradients.size() == weights_.size(), "SGD: found ", gradients.size(), " gradients for ", weights_.size(),
              " weights");
  if (weights_.empty()) return;
  const torch::NoGradGuard no_grad;
  if (!optimizer::takes_kernels(weights_, with_gpu)) {
    step_with_foreach(gradients);
  } else if (weights_.front().scalar_type() == torch::kDouble) {
    step_with_kernels<double>(gradients);
  } else {
    step_with_kernels<float>(gradients);
  }
}

template <class T>
void Sgd::step_with_kernels(const std::vector<torch::Tensor>& gradients) {
  std::vector<torch::Tensor> arranged(gradients);
  for (std::size_t i = 0; i < weights_.size(); ++i) {
    // The module's owner may have changed the memory format since the last step.
    momentum_[i] = optimizer::arranged_like(momentum_[i], weights_[i]);
    if (arranged[i].defined()) arranged[i] = optimizer::arranged_like(arranged[i], weights_[i]);
  }
  optimizer::SgdFactors factors{.weight_decay = weight_decay_, .momentum = momentum_factor_, .nesterov = nesterov_};
#ifdef FLOWDARTS_CUDA
  if (weights_.front().is_cuda()) {
    return optimizer::sgd_step_on_gpu<T>(weights_, momentum_, arranged, lr_, factors, clip_);
  }
#endif
  factors.lr = *lr_.const_data_ptr<double>();
  std::vector<T*> weight, velocity;
  std::vector<const T*> gradient;
  for (std::size_t i = 0; i < weights_.size(); ++i) {
    weight.push_back(weights_[i].data_ptr<T>());
    velocity.push_back(momentum_[i].data_ptr<T>());
    gradient.push_back(arranged[i].defined() ? arranged[i].const_data_ptr<T>() : nullptr);
  }

  const optimizer::Parts parts(weights_);
  if (clip_ > 0.0) {
    std::vector<double> squares(static_cast<std::size_t>(parts.count()), 0.0);
    parts.for_each_piece([&](std::int64_t part, std::size_t i, std::int64_t begin, std::int64_t count) {
      if (gradient[i] != nullptr) {
        squares[static_cast<std::size_t>(part)] += optimizer::sum_of_squares(gradient[i] + begin, count);
      }
    });
    factors.gradient_scale = clip_scale(std::sqrt(std::accumulate(squares.begin(), squares.end(), 0.0)), clip_);
  }
  parts.for_each_piece([&](std::int64_t /* part */, std::size_t i, std::int64_t begin, std::int64_t count) {
    optimizer::sgd_update(weight[i] + begin, velocity[i] + begin,
                          gradient[i] != nullptr ? gradient[i] + begin : nullptr, count, factors);
  });
  for (std::size_t i = 0; i < weights_.size(); ++i) {
    optimizer::mark_changed(weights_[i]);
    optimizer::mark_changed(momentum_[i]);
  }
}

void Sgd::step_with_foreach(const std::vector<torch::Tensor>& gradients) {
  std::vector<torch::Tensor> direction(gradients);
  for (std::size_t i = 0; i < direction.size(); ++i) {
    if (!direction[i].defined()) direction[i] = torch::zeros_like(weights_[i]);
  }
  if (clip_ > 0.0) direction = at::_foreach_mul(direction, clip_scale(direction, clip_));
  if (weight_decay_ != 0.0) direction = at::_foreach_add(direction, weights_, weight_decay_);
  at::_foreach_mul_(momentum_, momentum_factor_);
  at::_foreach_add_(momentum_, direction);
  if (nesterov_) {
    direction = at::_foreach_add(direction, momentum_, momentum_factor_);
    at::_foreach_add_(weights_, direction, -lr_on_host_);
  } else {
    at::_foreach_add_(weights_, momentum_, -lr_on_host_);
  }
}

}  // namespace flowdarts
