#pragma once
// What the optimisers' passes over many tensors at once share.

#include <ATen/Parallel.h>
#include <torch/torch.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace flowdarts::optimizer {

/// Whether our own kernels can update these tensors: all on one device, a CPU or, where `with_gpu`, a GPU, of one type,
/// float or double, each without gaps or overlaps in memory. Everything else takes LibTorch's operators.
inline bool takes_kernels(const std::vector<torch::Tensor>& tensors, bool with_gpu) {
  return std::ranges::all_of(tensors, [&](const torch::Tensor& tensor) {
    return tensor.device() == tensors.front().device() && (tensor.is_cpu() || (with_gpu && tensor.is_cuda())) &&
           tensor.scalar_type() == tensors.front().scalar_type() &&
           (tensor.scalar_type() == torch::kFloat || tensor.scalar_type() == torch::kDouble) &&
           tensor.is_non_overlapping_and_dense();
  });
}

/// Whether the elements of both, of one shape, lie in memory in the same order.
inline bool same_memory_order(const torch::Tensor& a, const torch::Tensor& b) {
  for (std::int64_t d = 0; d < a.dim(); ++d) {
    if (a.size(d) > 1 && a.stride(d) != b.stride(d)) return false;
  }
  return true;
}

/// The tensor itself, or a copy of it whose elements have the type and the order in memory of those of `like`. Throws
/// unless both have one shape.
inline torch::Tensor arranged_like(const torch::Tensor& tensor, const torch::Tensor& like) {
  TORCH_CHECK(tensor.device() == like.device(), "optimiser: found a gradient or state on ", tensor.device(),
              " for a parameter on ", like.device());
  TORCH_CHECK(tensor.sizes() == like.sizes(), "optimiser: found a gradient or state of shape ", tensor.sizes(),
              " for a parameter of shape ", like.sizes());
  if (tensor.scalar_type() == like.scalar_type() && same_memory_order(tensor, like)) return tensor;
  return torch::empty_like(like).copy_(tensor);
}

/// Makes what autograd saved of the tensor before an update stale, as LibTorch's own operators do.
inline void mark_changed(const torch::Tensor& tensor) {
  torch::autograd::impl::bump_version(tensor);
}

/// The elements of several tensors, one tensor after the other, cut into parts that threads share out. Where the cuts
/// are depends on the shapes alone.
class Parts {
 public:
  explicit Parts(const std::vector<torch::Tensor>& tensors) {
    for (const torch::Tensor& tensor : tensors) ends_.push_back(size() + tensor.numel());
  }

  [[nodiscard]] std::int64_t count() const { return (size() + part_size - 1) / part_size; }

  /// Calls f(part, tensor, begin, count) for every piece of a tensor; the pieces of one part in order on one thread.
  template <class F>
  void for_each_piece(const F& f) const {
    at::parallel_for(0, count(), parts_a_thread, [&](std::int64_t first, std::int64_t last) {
      for (std::int64_t part = first; part < last; ++part) {
        std::int64_t position = part * part_size;
        const std::int64_t end = std::min(position + part_size, size());
        auto tensor = static_cast<std::size_t>(std::ranges::upper_bound(ends_, position) - ends_.begin());
        for (; position < end; ++tensor) {
          const std::int64_t stop = std::min(end, ends_[tensor]);
          const std::int64_t begin = tensor == 0 ? 0 : ends_[tensor - 1];
          f(part, tensor, position - begin, stop - position);
          position = stop;
        }
      }
    });
  }

 private:
  static constexpr std::int64_t part_size = 8192;
  static constexpr std::int64_t parts_a_thread = 4;  // fewer are not worth waking one up

  [[nodiscard]] std::int64_t size() const { return ends_.empty() ? 0 : ends_.back(); }

  std::vector<std::int64_t> ends_;  // of each tensor, in elements of all
};

}  // namespace flowdarts::optimizer
