#pragma once
// An Adam step over many tensors at once on a GPU. Pointers are to device memory. T: float or double. No LibTorch here.

#include <flowdarts/stages/arch_step/adam_kernels.hpp>

#include <cstdint>
#include <span>
#include <string>

namespace flowdarts::optimizer {

template <class T>
struct AdamTensor {
  T* weight = nullptr;
  T* first = nullptr;
  T* second = nullptr;
  const T* gradient = nullptr;
  std::int64_t size = 0;  // of each
};

/// What adam_update() does to each tensor, with step_size and root_correction2 read, one after the other, from
/// `changing` when the kernel runs (in place of those of `factors`). Enqueued on `stream` (a cudaStream_t) of the
/// current device, which nothing waits for. Returns what failed, nothing on success.
template <class T>
[[nodiscard]] std::string adam_step_cuda(std::span<const AdamTensor<T>> tensors, const double* changing,
                                         const AdamFactors& factors, void* stream);

}  // namespace flowdarts::optimizer
