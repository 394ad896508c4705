#pragma once
// What fused_state.hpp does, of single fused operators: pools, depthwise convolutions, batch norms, a mix an edge. For
// a GPU, where batches fill the device without going a few images at a time.

#include <flowdarts/spaces/darts/fused_state.hpp>

namespace flowdarts::darts {

/// As read_state(), on a CPU or, in a build with FLOWDARTS_CUDA, a GPU. On a GPU results repeat bit for bit where
/// LibTorch is asked for deterministic convolutions.
std::vector<torch::Tensor> compose_state(const StatePlan& plan, const torch::Tensor& x, const torch::Tensor& op_weights,
                                         const CandidateObserver& observer = {});

}  // namespace flowdarts::darts
