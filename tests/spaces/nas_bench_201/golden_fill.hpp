#pragma once
// The deterministic numbers of the golden forward checks: no random numbers, no common parameter order.

#include <torch/torch.h>

#include <cmath>
#include <cstdint>
#include <vector>

namespace flowdarts::testing {

/// u(i) in [-1, 1): the finaliser of MurmurHash3 on i.
inline double u(std::uint32_t i) {
  std::uint32_t x = i + 0x9E3779B9U;
  x ^= x >> 16U;
  x *= 0x85EBCA6BU;
  x ^= x >> 13U;
  x *= 0xC2B2AE35U;
  x ^= x >> 16U;
  return 2.0 * x / 4294967296.0 - 1.0;
}

/// shift + scale u(i) with i the flat row-major index, in double precision.
inline torch::Tensor golden(at::IntArrayRef shape, double scale = 1.0, double shift = 0.0) {
  std::vector<double> values(static_cast<std::size_t>(c10::multiply_integers(shape)));
  for (std::uint32_t i = 0; i < values.size(); ++i) values[i] = shift + scale * u(i);
  return torch::tensor(values, torch::kFloat64).reshape(shape);
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
