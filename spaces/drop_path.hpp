#pragma once
// Parts of a network that are dropped at random while it is trained. What is kept is divided by the probability of
// being kept, so that its mean stays what it was.

#include <torch/torch.h>

#include <cstdint>

namespace flowdarts {

/// Drops whole terms of a sum for single samples (Larsson et al., "FractalNet", ICLR 2017; for residual branches: Huang
/// et al., "Deep Networks with Stochastic Depth", ECCV 2016). `seed` is made anew for every forward pass by who trains.
struct DropPath {
  double probability = 0;
  std::uint64_t seed = 0;
};

/// x [B, C, H, W] with dropped samples; op: which of the network's ops x comes from, each has draws of its own.
torch::Tensor drop_samples(const torch::Tensor& x, const DropPath& drop_path, std::uint64_t op);

/// x [B, features] with single elements dropped (Srivastava et al., "Dropout", JMLR 2014).
torch::Tensor drop_elements(const torch::Tensor& x, double probability, std::uint64_t seed);

}  // namespace flowdarts
