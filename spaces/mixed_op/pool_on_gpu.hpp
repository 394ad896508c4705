#pragma once
// The passes of the pools for tensors on a GPU, in builds with FLOWDARTS_CUDA alone. They run on the current stream and
// never wait for it. All tensors in channels-last memory.

#include <flowdarts/spaces/mixed_op/pool_cuda.hpp>
#include <flowdarts/spaces/mixed_op/pool_kernels.hpp>

#include <torch/torch.h>

#include <utility>

namespace flowdarts::mixed_op {

/// What the kernels know of a pool of these images; x: its input or its result, which have the same number and
/// channels. Throws c10::Error for more pixels than they can count.
DevicePool device_pool(const torch::Tensor& x, const PoolGeometry& geometry);

/// x [B, C, H, W].
torch::Tensor average_pool_on_gpu(const torch::Tensor& x, const PoolGeometry& geometry);

/// g: the gradient of the result.
torch::Tensor average_pool_gradient_on_gpu(const torch::Tensor& g, const PoolGeometry& geometry);

/// The result and, uint8 and of the same shape, the places in the windows that the gradient goes to.
std::pair<torch::Tensor, torch::Tensor> max_pool_on_gpu(const torch::Tensor& x, const PoolGeometry& geometry);

torch::Tensor max_pool_gradient_on_gpu(const torch::Tensor& g, const torch::Tensor& chosen,
                                       const PoolGeometry& geometry);

}  // namespace flowdarts::mixed_op
