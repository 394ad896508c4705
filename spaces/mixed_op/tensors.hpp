#pragma once
// What the operators of this folder share at the level of LibTorch.

#include <flowdarts/spaces/mixed_op/rows.hpp>

#include <torch/torch.h>

#include <string>
#include <string_view>

namespace flowdarts::mixed_op {

/// Throws c10::Error unless x is [batch, channels, height, width], on a CPU, of a type the kernels know.
inline void check_activations(std::string_view op, const torch::Tensor& x) {
  TORCH_CHECK(x.defined() && x.dim() == 4, op, ": expected an input [batch, channels, height, width], found ",
              x.defined() ? std::to_string(x.dim()) + " dimensions" : "an undefined tensor");
  TORCH_CHECK(x.device().is_cpu(), op, ": expected an input on the CPU, found it on ", x.device());
  TORCH_CHECK(
      x.scalar_type() == torch::kFloat || x.scalar_type() == torch::kDouble || x.scalar_type() == torch::kBFloat16, op,
      ": expected an input of type Float, Double or BFloat16, found ", x.scalar_type());
}

/// Calls f(T()) where T is the kernels' type for a tensor's elements: float, double or Bf16.
template <class F>
void with_element_type(const torch::Tensor& tensor, const F& f) {
  switch (tensor.scalar_type()) {
    case torch::kFloat:
      return f(float());
    case torch::kDouble:
      return f(double());
    case torch::kBFloat16:
      return f(Bf16());
    default:
      TORCH_CHECK(false, "no kernel for tensors of type ", tensor.scalar_type());
  }
}

template <class T>
const T* elements(const torch::Tensor& tensor) {
  return static_cast<const T*>(tensor.const_data_ptr());
}

template <class T>
T* mutable_elements(const torch::Tensor& tensor) {
  return static_cast<T*>(tensor.mutable_data_ptr());
}

/// Uninitialised, in channels-last memory, of the type of `like`.
inline torch::Tensor empty_channels_last(torch::IntArrayRef sizes, const torch::Tensor& like) {
  return torch::empty(sizes, like.options().memory_format(torch::MemoryFormat::ChannelsLast));
}

}  // namespace flowdarts::mixed_op
