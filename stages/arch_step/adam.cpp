#include <cmath>
#include <flowdarts/spaces/support/random.hpp>
#include <flowdarts/stages/arch_step/adam.hpp>
#include <flowdarts/stages/weight_step/multi_tensor.hpp>
#include <flowdarts/stages/weight_step/sgd.hpp>
#include <span>
#ifdef FLOWDARTS_CUDA
#include <flowdarts/stages/weight_step/optimizers_on_gpu.hpp>
#endif

namespace flowdarts {
namespace {

#ifdef FLOWDARTS_CUDA
constexpr bool with_gpu = true;
#else
constexpr bool with_gpu = false;
#endif

}  // namespace

Adam::Adam(std::vector<torch::Tensor> alphas, const ArchOptions& options)
    : alphas_(std::move(alphas)),
      lr_(options.lr),
      beta1_(options.beta1),
      beta2_(options.beta2),
      weight_decay_(options.weight_decay),
      clip_(options.clip) {
  const torch::NoGradGuard no_grad;
  for (const torch::Tensor& alpha : alphas_) {
    first_.push_back(torch::zeros_like(alpha));
    second_.push_back(torch::zeros_like(alpha));
  }
  changing_ = torch::zeros({2}, torch::TensorOptions(torch::kDouble)
                                    .device(alphas_.empty() ? torch::Device(torch::kCPU) : alphas_.front().device()));
}

void Adam::advance() {
  const torch::NoGradGuard no_grad;
  ++steps_;
  step_size_ = lr_ / (1.0 - std::pow(beta1_, static_cast<double>(steps_)));
  root_correction2_ = std::sqrt(1.0 - std::pow(beta2_, static_cast<double>(steps_)));
  // Kernels' arguments: nothing is copied from the host, which would wait.
  changing_[0].fill_(step_size_);
  changing_[1].fill_(root_correction2_);
}

bool Adam::recordable() const {
  return optimizer::takes_kernels(alphas_, with_gpu);
}

void Adam::update(const std::vector<torch::Tensor>& unclipped) {
  TORCH_CHECK(unclipped.size() == alphas_.size(), "Adam: found ", unclipped.size(), " gradients for ", alphas_.size(),
              " alphas");
  const torch::NoGradGuard no_grad;
  const std::vector<torch::Tensor> gradients =
      clip_ > 0.0 && !unclipped.empty() ? clipped(unclipped, clip_) : unclipped;
  const optimizer::AdamFactors factors{.weight_decay = weight_decay_,
                                       .beta1 = beta1_,
                                       .beta2 = beta2_,
                                       .step_size = step_size_,
                                       .root_correction2 = root_correction2_,
                                       .eps = 1e-8};
  if (!optimizer::takes_kernels(alphas_, with_gpu)) {
    step_with_operators(gradients, factors);
  } else if (!alphas_.empty() && alphas_.front().scalar_type() == torch::kDouble) {
    step_with_kernels<double>(gradients, factors);
  } else {
    step_with_kernels<float>(gradients, factors);
  }
}

template <class T>
void Adam::step_with_kernels(const std::vector<torch::Tensor>& gradients, const optimizer::AdamFactors& factors) {
  std::vector<torch::Tensor> arranged;
  for (std::size_t i = 0; i < alphas_.size(); ++i) {
    first_[i] = optimizer::arranged_like(first_[i], alphas_[i]);
    second_[i] = optimizer::arranged_like(second_[i], alphas_[i]);
    arranged.push_back(optimizer::arranged_like(gradients[i], alphas_[i]));
  }
#ifdef FLOWDARTS_CUDA
  if (!alphas_.empty() && alphas_.front().is_cuda()) {
    return optimizer::adam_step_on_gpu<T>(alphas_, first_, second_, arranged, changing_, factors);
  }
#endif
  optimizer::AdamFactors own = factors;
  own.step_size = changing_.const_data_ptr<double>()[0];
  own.root_correction2 = changing_.const_data_ptr<double>()[1];
  std::vector<T*> alpha, first, second;
  std::vector<const T*> gradient;
  for (std::size_t i = 0; i < alphas_.size(); ++i) {
    alpha.push_back(alphas_[i].data_ptr<T>());
    first.push_back(first_[i].data_ptr<T>());
    second.push_back(second_[i].data_ptr<T>());
    gradient.push_back(arranged[i].const_data_ptr<T>());
  }
  optimizer::Parts(alphas_).for_each_piece(
      [&](std::int64_t /* part */, std::size_t i, std::int64_t begin, std::int64_t count) {
        optimizer::adam_update(alpha[i] + begin, first[i] + begin, second[i] + begin, gradient[i] + begin, count, own);
      });
  for (const auto* tensors : {&alphas_, &first_, &second_}) {
    for (const torch::Tensor& tensor : *tensors) optimizer::mark_changed(tensor);
  }
}

void Adam::step_with_operators(const std::vector<torch::Tensor>& gradients, const optimizer::AdamFactors& factors) {
  for (std::size_t i = 0; i < alphas_.size(); ++i) {
    const torch::Tensor gradient = gradients[i].add(alphas_[i], factors.weight_decay);
    first_[i].mul_(factors.beta1).add_(gradient, 1.0 - factors.beta1);
    second_[i].mul_(factors.beta2).addcmul_(gradient, gradient, 1.0 - factors.beta2);
    const torch::Tensor denominator = (second_[i].sqrt() / factors.root_correction2).add_(factors.eps);
    alphas_[i].addcdiv_(first_[i], denominator, -factors.step_size);
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
