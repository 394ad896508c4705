#pragma once

#include <flowdarts/stages/graph_capture/step_graphs.hpp>

namespace flowdarts {

/// recorders_for() tensors on a GPU, in a build with FLOWDARTS_CUDA alone. Other threads may go on using the device
/// meanwhile.
Recorders cuda_recorders(const torch::Device& device);

}  // namespace flowdarts
