#pragma once

#include <torch/torch.h>

#include <flowdarts/spaces/nas_bench_201/cell_plan.hpp>
#include <memory>
#include <vector>

namespace flowdarts::nas_bench_201 {

/// FusedCell::forward() for tensors on a GPU; in a build with FLOWDARTS_CUDA alone. variables: x, the op weights, then
/// those of the convolutions at their places (in for_each_conv's order). A node is one kernel forward (its mix and
/// rectified form) and two backward, besides convolutions and one pool. Runs on the current stream and never waits for
/// it; op weights are read on the device. Our kernels give the same bits in every run; so do the convolutions where
/// LibTorch is asked for deterministic ones. Differentiable once.
torch::Tensor fused_cell_on_gpu(torch::TensorList variables, const std::shared_ptr<const CellPlan>& plan,
                                const std::vector<ConvPlaces>& places);

}  // namespace flowdarts::nas_bench_201
