#include <flowdarts/spaces/module_weights.hpp>

namespace flowdarts {

Weight weight_of(const torch::Tensor& tensor) {
  const torch::Tensor host = tensor.detach().to(torch::kCPU, torch::kFloat).contiguous();
  const auto* values = host.const_data_ptr<float>();
  return {.shape = host.sizes().vec(), .values = {values, values + host.numel()}};
}

Weights weights_of(const torch::nn::Module& module) {
  Weights weights;
  for (const auto& item : module.named_parameters()) weights.emplace(item.key(), weight_of(item.value()));
  for (const auto& item : module.named_buffers()) weights.emplace(item.key(), weight_of(item.value()));
  return weights;
}

}  // namespace flowdarts
