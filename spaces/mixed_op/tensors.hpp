#pragma once
// What the operators of this folder share at the level of LibTorch: from tensors to what the kernels take.

#include <torch/torch.h>

#include <ATen/Parallel.h>

#include <algorithm>
#include <atomic>
#include <flowdarts/spaces/mixed_op/rows.hpp>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace flowdarts::mixed_op {

/// Calls f.operator()<T>() with the kernels' type for `dtype`: float, double or Bf16.
template <class F>
decltype(auto) with_type(at::ScalarType dtype, const F& f) {
  switch (dtype) {
    case at::kFloat:
      return f.template operator()<float>();
    case at::kDouble:
      return f.template operator()<double>();
    case at::kBFloat16:
      return f.template operator()<Bf16>();
    default:
      TORCH_CHECK(false, "the fused operators compute in float32, float64 or bfloat16, found ", dtype);
  }
}

/// Throws c10::Error unless x is [batch, channels, height, width], on a CPU or, where the op takes that, a GPU, and of
/// a type the kernels know.
inline void check_activations(std::string_view op, const torch::Tensor& x, bool takes_gpu) {
  TORCH_CHECK(x.defined() && x.dim() == 4, op, ": expected an input [batch, channels, height, width], found ",
              x.defined() ? std::to_string(x.dim()) + " dimensions" : "an undefined tensor");
  TORCH_CHECK(x.is_cpu() || (takes_gpu && x.is_cuda()), op, ": expected an input on the CPU",
              takes_gpu ? " or a GPU" : " (a GPU needs a build with FLOWDARTS_CUDA)", ", found it on ", x.device());
  TORCH_CHECK(
      x.scalar_type() == torch::kFloat || x.scalar_type() == torch::kDouble || x.scalar_type() == torch::kBFloat16, op,
      ": expected an input of type Float, Double or BFloat16, found ", x.scalar_type());
}

template <class T>
const T* elements(const torch::Tensor& tensor) {
  return static_cast<const T*>(tensor.const_data_ptr());
}

template <class T>
T* mutable_elements(const torch::Tensor& tensor) {
  return static_cast<T*>(tensor.mutable_data_ptr());
}

/// The pixels of x [B, C, H, W], which lies in channels-last memory without gaps; `first`: the channel they begin at.
template <class T>
Rows<T> rows(const torch::Tensor& x, std::int64_t first = 0) {
  return {static_cast<T*>(x.data_ptr()) + first, x.size(1)};
}

inline std::int64_t pixel_count(const torch::Tensor& x) {
  return x.size(0) * x.size(2) * x.size(3);
}

inline torch::Tensor channels_last(const torch::Tensor& x) {
  return x.contiguous(torch::MemoryFormat::ChannelsLast);
}

/// Uninitialised, in channels-last memory, of the type of `like`.
inline torch::Tensor empty_channels_last(torch::IntArrayRef sizes, const torch::Tensor& like) {
  return torch::empty(sizes, like.options().memory_format(torch::MemoryFormat::ChannelsLast));
}

/// The same of `like`'s sizes.
inline torch::Tensor empty_channels_last(const torch::Tensor& like) {
  return empty_channels_last(like.sizes(), like);
}

/// The tensors an autograd function takes, which must all be defined: an undefined one gets no place.
struct Variables {
  static constexpr std::size_t none = static_cast<std::size_t>(-1);
  std::vector<torch::Tensor> tensors;

  /// The place of `tensor`, or none.
  std::size_t add(const torch::Tensor& tensor) {
    if (!tensor.defined()) return none;
    tensors.push_back(tensor);
    return tensors.size() - 1;
  }
};

/// Whether a backward pass is asked for the gradient of the variable at a place.
inline bool needs(const torch::autograd::AutogradContext& context, std::size_t place) {
  return place != Variables::none && context.needs_input_grad(place);
}

/// Makes room once a thread, then f(task, room) for each task of [0, count): each thread takes the next one as soon as
/// it is free, so that none waits for a slower one.
template <class Make, class F>
void for_each_task(std::int64_t count, const Make& make, const F& f) {
  std::atomic<std::int64_t> next = 0;
  at::parallel_for(0, std::min<std::int64_t>(count, at::get_num_threads()), 1, [&](std::int64_t, std::int64_t) {
    std::int64_t task = next++;
    if (task >= count) return;
    const auto room = make();
    for (; task < count; task = next++) f(task, room);
  });
}

/// The same without room.
template <class F>
void for_each_task(std::int64_t count, const F& f) {
  for_each_task(
      count, [] { return 0; }, [&](std::int64_t task, int) { f(task); });
}

/// How sums over pixels are cut into parts: by the shape alone, so that the number of threads changes no bit.
struct Parts {
  std::int64_t pixels;
  std::int64_t size;

  Parts(std::int64_t pixel_count, std::int64_t channels)
      : pixels(pixel_count), size(std::max<std::int64_t>(256, 65536 / channels / 256 * 256)) {}
  [[nodiscard]] std::int64_t count() const { return (pixels + size - 1) / size; }

  /// f(part, range), the parts in parallel.
  template <class F>
  void for_each(const F& f) const {
    for_each_task(count(), [&](std::int64_t part) {
      f(part, PixelRange{part * size, std::min((part + 1) * size, pixels)});
    });
  }
};

/// f(pixels) for pieces of a range of which several matrices stay in the second-level cache.
template <class F>
void for_cached_pixels(PixelRange range, std::int64_t channels, const F& f) {
  const std::int64_t step = std::max<std::int64_t>(256, 16384 / channels / 256 * 256);
  for (; range.begin < range.end; range.begin += step) {
    f(PixelRange{range.begin, std::min(range.begin + step, range.end)});
  }
}

/// The images [begin, end).
struct ImageRange {
  std::int64_t begin, end;
};

/// A batch in at most `most` parts of images, each worked on by one thread, its images one after the other: by the
/// batch alone, so that the number of threads changes no bit.
struct ImageParts {
  std::int64_t images, count;

  explicit ImageParts(std::int64_t batch, std::int64_t most = 32) : images(batch), count(std::min(batch, most)) {}
  [[nodiscard]] ImageRange operator[](std::int64_t part) const {
    return {part * images / count, (part + 1) * images / count};
  }

  /// Makes room once a thread, then f(part, its images, room), the parts in parallel.
  template <class Make, class F>
  void for_each(const Make& make, const F& f) const {
    for_each_task(count, make, [&](std::int64_t part, const auto& room) { f(part, (*this)[part], room); });
  }
};

}  // namespace flowdarts::mixed_op
