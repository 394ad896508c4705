#pragma once
// The optimisers' steps for tensors on a GPU, in builds with FLOWDARTS_CUDA alone. They run on the current stream and
// never wait for it; the same bits in every run. All tensors on one device, of type T (float or double), each with its
// weight's order in memory.

#include <flowdarts/stages/arch_step/adam_kernels.hpp>
#include <flowdarts/stages/weight_step/sgd_kernels.hpp>

#include <torch/torch.h>

#include <vector>

namespace flowdarts::optimizer {

/// gradients: undefined where they are zero. lr [1], double: read when the kernels run, in place of factors.lr. clip:
/// the largest norm of all of them together; 0: any.
template <class T>
void sgd_step_on_gpu(const std::vector<torch::Tensor>& weights, const std::vector<torch::Tensor>& momentum,
                     const std::vector<torch::Tensor>& gradients, const torch::Tensor& lr, const SgdFactors& factors,
                     double clip);

/// changing [2], double: step_size and root_correction2, read when the kernels run, in place of those of factors.
template <class T>
void adam_step_on_gpu(const std::vector<torch::Tensor>& weights, const std::vector<torch::Tensor>& first,
                      const std::vector<torch::Tensor>& second, const std::vector<torch::Tensor>& gradients,
                      const torch::Tensor& changing, const AdamFactors& factors);

}  // namespace flowdarts::optimizer
