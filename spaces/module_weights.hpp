#pragma once
// A module's values on the host.

#include <torch/torch.h>

#include <flowdarts/spaces/weights.hpp>

namespace flowdarts {

/// A tensor's values as float32, whatever its device, type and memory format.
Weight weight_of(const torch::Tensor& tensor);

/// All parameters and buffers of `module`.
Weights weights_of(const torch::nn::Module& module);

}  // namespace flowdarts
