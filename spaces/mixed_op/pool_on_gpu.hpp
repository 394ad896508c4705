#pragma once
// The passes of the pools for tensors on a GPU, in builds with FLOWDARTS_CUDA alone. They run on the current stream and
// never wait for it. All tensors in channels-last memory.

#include <flowdarts/spaces/mixed_op/pool_kernels.hpp>

#include <torch/torch.h>

#include <utility>

namespace flowdarts::mixed_op {

/// x [B, C, H, W].
torch::Tensor average_pool_on_gpu(const torch::Tensor& x, const PoolGeometry& geometry);

/// g: the gradient of the result.
torch::Tensor average_pool_gradient_on_gpu(const torch::Tensor& g, const PoolGeometry& geometry);

/// The result and, uint8 and of the same shape, the places in the windows that the gradient goes to.
std::pair<torch::Tensor, torch::Tensor> max_pool_on_gpu(const torch::Tensor& x, const PoolGeometry& geometry);

torch::Tensor max_pool_gradient_on_gpu(const torch::Tensor& g, const torch::Tensor& chosen,
                                       const PoolGeometry& geometry);

}  // namespace flowdarts::mixed_op
