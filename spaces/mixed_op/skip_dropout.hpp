#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <flowdarts/spaces/supernet.hpp>
#include <flowdarts/spaces/support/random.hpp>

namespace flowdarts {

/// The dropout of one of the skips that share `dropout`: with a key of its own for each place.
inline SkipDropout at_place(const SkipDropout& dropout, std::uint64_t place) {
  return {.rate = dropout.rate, .key = CounterRng(dropout.key, Stream::noise, 0, 0, place).bits64()};
}

/// What one skip multiplies x [B, C, H, W] by: each element 0 or 1 / (1 - rate), of x's type, device and memory format.
/// Which are 0 depends on the key and the sizes alone, but for the kind of device.
inline torch::Tensor skip_mask(const torch::Tensor& x, const SkipDropout& dropout) {
  const torch::NoGradGuard no_grad;
  at::Generator generator = at::globalContext().defaultGenerator(x.device()).clone();
  generator.set_current_seed(dropout.key);
  return torch::empty(x.sizes(), x.options())
      .bernoulli_(1.0 - dropout.rate, generator)
      .div_(1.0 - dropout.rate)
      .contiguous(x.suggest_memory_format());
}

/// x behind the skip of `row` (of its op weight) in `cell` (its number in the network).
inline torch::Tensor drop_skip(const torch::Tensor& x, const SkipDropout& dropout, std::int64_t cell,
                               std::int64_t row) {
  return x *
         skip_mask(x, at_place(dropout, (static_cast<std::uint64_t>(cell) << 16U) + static_cast<std::uint64_t>(row)));
}

}  // namespace flowdarts
