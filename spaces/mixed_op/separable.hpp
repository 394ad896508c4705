#pragma once
// Depthwise-separable convolutions that read one input, as one operator: what lies between the depthwise and the
// pointwise part exists for a group of images at a time, inside the cache.

#include <torch/torch.h>

#include <cstdint>
#include <span>
#include <vector>

namespace flowdarts {

/// A depthwise convolution of the input's channels C (padding that keeps the size, but for the stride), then a 1x1
/// convolution.
struct SeparableBranch {
  torch::Tensor depthwise;  // [C, 1, k, k], k odd
  torch::Tensor pointwise;  // [C', C, 1, 1]
  torch::Tensor bias;       // of the 1x1 convolution, [C'], or undefined
  std::int64_t stride = 1;
  std::int64_t dilation = 1;
};

/// x [B, C, H, W] to an output [B, C', H', W'] for each branch, in channels-last memory; relu_input: the branches read
/// max(x, 0). CPU; float, double, or bfloat16 with sums in float and weights of either type. x may lie in memory as it
/// likes; channels-last is not copied. Differentiable once, in x and all weights; only gradients asked for are
/// computed. The outputs of the depthwise convolutions are not kept: a backward pass that needs them, for the gradients
/// of pointwise weights, computes them again. The same bits in every run with one number of threads. Throws c10::Error.
std::vector<torch::Tensor> separable_conv2d(const torch::Tensor& x, std::span<const SeparableBranch> branches,
                                            bool relu_input);

}  // namespace flowdarts
