#pragma once
// The deterministic numbers of the golden forward checks: no random numbers, no common parameter order.

#include <torch/torch.h>

#include <cmath>
#include <cstdint>

#include "../golden_values.hpp"

namespace flowdarts::testing {

/// shift + scale u(offset + i) with i the flat row-major index, in double precision.
inline torch::Tensor golden(at::IntArrayRef shape, double scale = 1.0, double shift = 0.0, std::uint32_t offset = 0) {
  const auto values = golden_values(static_cast<std::size_t>(c10::multiply_integers(shape)), scale, offset);
  return torch::tensor(values, torch::kFloat64).reshape(shape).add_(shift);
}

/// Casts the module to double precision and fills each parameter from its own index: a weight of fan-in f with
/// sqrt(3 / f) u(i), the scale of a batch norm with 1 + 0.1 u(i), every bias and shift with 0.1 u(i).
inline void golden_fill(torch::nn::Module& module) {
  const torch::NoGradGuard no_grad;
  module.to(torch::kFloat64);
  for (const auto& item : module.named_parameters()) {
    torch::Tensor parameter = item.value();
    const bool weight = item.key().ends_with("weight");
    if (weight && parameter.dim() > 1) {
      const auto fan_in = static_cast<double>(parameter.numel() / parameter.size(0));
      parameter.copy_(golden(parameter.sizes(), std::sqrt(3.0 / fan_in)));
    } else {
      parameter.copy_(golden(parameter.sizes(), 0.1, weight ? 1.0 : 0.0));
    }
  }
}

}  // namespace flowdarts::testing
