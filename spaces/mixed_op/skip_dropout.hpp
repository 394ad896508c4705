#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <flowdarts/spaces/supernet.hpp>

namespace flowdarts {

/// x with dropout: each element 0 or divided by 1 - rate, by the key, `cell` (its number in the network) and `row` (of
/// the skip's op weight); x [B, C, H, W] in any memory format.
inline torch::Tensor drop_skip(const torch::Tensor& x, const SkipDropout& dropout, std::int64_t cell,
                               std::int64_t row) {
  // splitmix64's finaliser: keys of neighbouring places share nothing.
  std::uint64_t seed = dropout.key + 0x9E3779B97F4A7C15U * ((static_cast<std::uint64_t>(cell) << 16U) +
                                                            static_cast<std::uint64_t>(row) + 1U);
  seed = (seed ^ (seed >> 30U)) * 0xBF58476D1CE4E5B9U;
  seed = (seed ^ (seed >> 27U)) * 0x94D049BB133111EBU;
  at::Generator generator = at::globalContext().defaultGenerator(x.device()).clone();
  generator.set_current_seed(seed ^ (seed >> 31U));
  torch::Tensor kept;
  {
    const torch::NoGradGuard no_grad;
    kept = torch::empty(x.sizes(), x.options()).bernoulli_(1.0 - dropout.rate, generator).div_(1.0 - dropout.rate);
    kept = kept.contiguous(x.suggest_memory_format());
  }
  return x * kept;
}

}  // namespace flowdarts
