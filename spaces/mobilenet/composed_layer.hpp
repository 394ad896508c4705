#pragma once
// What fused_layer.hpp does, of single operators. For a GPU, where batches fill the device without going image by
// image.

#include <cstdint>
#include <flowdarts/spaces/mixed_op/clamp_kernels.hpp>
#include <flowdarts/spaces/mobilenet/ops.hpp>
#include <span>

namespace flowdarts::mobilenet {

/// A candidate of a layer, and the place of its weight.
struct WeighedMbConv {
  const MbConv* op;
  std::int64_t place;
};

/// sum_k op_weights[k] op_k(x) of at least one candidate, in the order of their places, plus x where there is a
/// shortcut: [B, out, H', W'], channels-last. x [B, in, H, W] on a CPU or, in a build with FLOWDARTS_CUDA, a GPU;
/// op_weights [N]. Differentiable once.
torch::Tensor compose_layer(std::span<const WeighedMbConv> ops, const torch::Tensor& x, const torch::Tensor& op_weights,
                            bool shortcut);

/// clamp(norm(x)) of x [B, C, H, W], in channels-last memory, of two operators. Devices and types as compose_layer().
/// Throws c10::Error for batch statistics of a single value, where no other process shares them.
torch::Tensor compose_norm_clamp(const torch::Tensor& x, const Norm& norm, mixed_op::Clamp clamp);

}  // namespace flowdarts::mobilenet
