#pragma once
// How much information the output of each candidate op carries about its distribution's parameters.

#include <flowdarts/stages/measure/measuring.hpp>
#include <vector>

namespace flowdarts {

/// F of each place, matrix by matrix, row-major (IS-DARTS, the code's score in closed form): of one image
///   F = 3 (C - 1) / C mean over pixels of 1 / sigma^4,
/// sigma^2 being the unbiased variance over the op's C output channels at the pixel; then the mean over all images and
/// all cells that share the place. Computed in double; a pixel whose channels are all equal makes it +inf, as do values
/// that are no numbers. An op without output (`none`, or one that is not left) has +inf. Large F: little spread, a map
/// like noise; the paper's importance IIM is its inverse. Throws InputError where an op has one channel.
std::vector<std::vector<double>> feature_information(Supernet& supernet, const std::vector<torch::Tensor>& op_weights,
                                                     const MeasureBatches& batches);

/// The sum over images of F for one output [B, C, H, W], on its device.
torch::Tensor summed_feature_information(const torch::Tensor& output);

}  // namespace flowdarts
