#pragma once

#include <flowdarts/spaces/mixed_op/mix.hpp>
#include <flowdarts/spaces/mixed_op/mix_cuda.hpp>

namespace flowdarts::mixed_op {

/// mix() for inputs on a GPU, which are of one shape and type, with weights that fit them; in a build with
/// FLOWDARTS_CUDA alone. At most max_mix_terms inputs; no two of them may move the same running statistics. Inputs that
/// are a slice of the channels of a channels-last tensor are read where they lie. Runs on the current stream and never
/// waits for it. The same bits in every run on one kind of device. Differentiable once.
torch::Tensor mix_on_gpu(std::span<const MixInput> inputs, const torch::Tensor& weights, bool relu);

/// What the present forward pass normalises a term with; norm: its batch norm or null.
TermNorm norm_of(const BatchNorm* norm);

}  // namespace flowdarts::mixed_op
