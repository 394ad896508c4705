#pragma once
// An SGD step over many tensors at once on a GPU. Pointers are to device memory. T: float or double. No LibTorch here.

#include <flowdarts/stages/weight_step/sgd_kernels.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace flowdarts::optimizer {

template <class T>
struct SgdTensor {
  T* weight = nullptr;
  T* velocity = nullptr;
  const T* gradient = nullptr;  // null: 0
  std::int64_t size = 0;        // of each
};

/// What sgd_update() does to each tensor, with the learning rate that lr points to when the kernels run (in place of
/// factors.lr); with clip above 0, gradients are first scaled so that the norm of all of them
/// together is at most that (factors.gradient_scale must be 1 then). scratch: sgd_scratch() bytes. Enqueued on `stream`
/// (a cudaStream_t) of the current device, which nothing waits for; the same bits in every run. Returns what failed,
/// nothing on success.
template <class T>
[[nodiscard]] std::string sgd_step_cuda(std::span<const SgdTensor<T>> tensors, const double* lr,
                                        const SgdFactors& factors, double clip, void* scratch, void* stream);
template <class T>
[[nodiscard]] std::size_t sgd_scratch(std::span<const SgdTensor<T>> tensors);

}  // namespace flowdarts::optimizer
