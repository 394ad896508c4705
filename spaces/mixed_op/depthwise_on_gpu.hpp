#pragma once
// The passes of depthwise_conv2d() for tensors on a GPU, in builds with FLOWDARTS_CUDA alone. They run on the current
// stream and never wait for it; the same bits in every run.

#include <flowdarts/spaces/mixed_op/depthwise_kernels.hpp>

#include <torch/torch.h>

namespace flowdarts::mixed_op {

/// x [B, C, H, W] in channels-last memory; taps [k * k, C * m], contiguous, of Compute type.
torch::Tensor depthwise_on_gpu(const torch::Tensor& x, const torch::Tensor& taps, const DepthwiseShape& shape);

/// g: the gradient of the result, in channels-last memory.
torch::Tensor depthwise_input_gradient_on_gpu(const torch::Tensor& g, const torch::Tensor& x, const torch::Tensor& taps,
                                              const DepthwiseShape& shape);

/// [C * m, 1, k, k], of Compute type.
torch::Tensor depthwise_weight_gradient_on_gpu(const torch::Tensor& g, const torch::Tensor& x,
                                               const DepthwiseShape& shape);

}  // namespace flowdarts::mixed_op
