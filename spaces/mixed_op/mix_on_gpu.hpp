#pragma once

#include <flowdarts/spaces/mixed_op/device_rows.hpp>
#include <flowdarts/spaces/mixed_op/mix.hpp>
#include <flowdarts/spaces/mixed_op/mix_cuda.hpp>

namespace flowdarts::mixed_op {

/// mix() for inputs on a GPU, which are of one shape and type, with weights that fit them; in a build with
/// FLOWDARTS_CUDA alone. At most max_mix_terms inputs; no two of them may move the same running statistics. Inputs that
/// are a slice of the channels of a channels-last tensor are read where they lie. Runs on the current stream and never
/// waits for it. The same bits in every run on one kind of device. Differentiable once. Where processes share the batch
/// statistics of one norm, they share those of all.
torch::Tensor mix_on_gpu(std::span<const MixInput> inputs, const torch::Tensor& weights, bool relu);

/// What the present forward pass normalises a term with; norm: its batch norm or null.
TermNorm norm_of(const BatchNorm* norm);

/// Runs the forward pass of a mix whose scratch memory is yet to be found, on the device of `like`. Where `sum` is not
/// null, its processes share the batch: they exchange a message, and what it came to is returned for the backward pass.
template <class T>
torch::Tensor run_forward(MixForward<T>& mix, const RankSum* sum, const torch::Tensor& like,
                          const DeviceStream& stream) {
  const torch::Tensor scratch = scratch_bytes(mix_forward_scratch(mix.count, mix.pixels, mix.channels), like);
  mix.scratch = scratch.mutable_data_ptr();
  torch::Tensor moments;
  if (sum != nullptr) {
    moments = torch::empty({moments_size(mix.count, mix.channels)}, like.options().dtype(torch::kDouble));
    stream.check(mix_moments_cuda(mix, moments.mutable_data_ptr<double>(), stream.handle()));
    sum->add_up(moments);
    mix.moments = moments.const_data_ptr<double>();
  }
  stream.check(mix_forward_cuda(mix, stream.handle()));
  return moments;
}

/// The same for the backward pass; moments: what the forward pass returned.
template <class T>
void run_backward(MixBackward<T>& mix, const RankSum* sum, const torch::Tensor& moments, const torch::Tensor& like,
                  const DeviceStream& stream) {
  const torch::Tensor scratch = scratch_bytes(mix_backward_scratch(mix.count, mix.pixels, mix.channels), like);
  mix.scratch = scratch.mutable_data_ptr();
  // The gradients of parameters are each process's part; those of inputs follow from the whole batch.
  torch::Tensor dots, all_dots;
  if (sum != nullptr && mix_needs_dots(mix)) {
    dots = torch::empty({dots_size(mix.count, mix.channels)}, like.options().dtype(torch::kDouble));
    stream.check(mix_dots_cuda(mix, dots.mutable_data_ptr<double>(), stream.handle()));
    all_dots = dots.clone();
    sum->add_up(all_dots);
    mix.dots = dots.const_data_ptr<double>();
    mix.all_dots = all_dots.const_data_ptr<double>();
    mix.all_pixels = moments.const_data_ptr<double>() + moments.numel() - 1;
  }
  stream.check(mix_backward_cuda(mix, stream.handle()));
}

}  // namespace flowdarts::mixed_op
