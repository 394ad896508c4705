#pragma once
// From LibTorch's tensors on a GPU to what the CUDA kernels take; in builds with FLOWDARTS_CUDA alone.

#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

#include <algorithm>
#include <flowdarts/spaces/mixed_op/device_values.hpp>
#include <flowdarts/spaces/mixed_op/tensors.hpp>
#include <string>

namespace flowdarts::mixed_op {

/// The current stream of a tensor's device, which is the current device while this lives.
class DeviceStream {
 public:
  explicit DeviceStream(const torch::Tensor& tensor)
      : guard_(tensor.device()), stream_(c10::cuda::getCurrentCUDAStream(tensor.device().index())) {}

  [[nodiscard]] void* handle() const { return stream_.stream(); }

  /// Throws c10::Error unless nothing failed.
  static void check(const std::string& failure) { TORCH_CHECK(failure.empty(), failure); }

 private:
  c10::cuda::CUDAGuard guard_;
  c10::cuda::CUDAStream stream_;
};

/// Throws c10::Error where the kernels, which count pixels in 32 bits, cannot take so many. shape: DeviceConvolution or
/// DevicePool.
template <class Shape>
void check_pixels(const char* op, const Shape& shape) {
  const std::int64_t most = std::max(shape.height * shape.width, shape.out_height * shape.out_width);
  TORCH_CHECK(shape.images * most < (std::int64_t{1} << 31), op, ": expected less than 2^31 pixels on a GPU, found ",
              shape.images, " images of up to ", most);
}

/// The elements from one pixel of x [B, C, H, W] to the next where its pixels lie one after the other in memory, each
/// with its channels together: channels-last memory, or a slice of the channels of it. 0 where they do not.
inline std::int64_t pixel_stride(const torch::Tensor& x) {
  const std::int64_t channels = x.size(1);
  std::int64_t stride = 0, pixels = 1;
  for (const std::int64_t d : {3, 2, 0}) {
    if (x.size(d) == 1) continue;
    if (pixels == 1) stride = x.stride(d);
    if (x.stride(d) != pixels * stride) return 0;
    pixels *= x.size(d);
  }
  if (pixels == 1) stride = channels;
  return stride >= channels && (channels == 1 || x.stride(1) == 1) ? stride : 0;
}

/// x itself where it has a pixel stride, else a copy of it in channels-last memory.
inline torch::Tensor as_rows(const torch::Tensor& x) {
  if (pixel_stride(x) > 0) return x;
  return torch::empty(x.sizes(), x.options(), torch::MemoryFormat::ChannelsLast).copy_(x);
}

/// The pixels of a tensor that has a pixel stride.
template <class T>
Rows<T> device_rows(const torch::Tensor& x) {
  return {static_cast<T*>(x.data_ptr()), pixel_stride(x)};
}

/// A tensor's memory as the kernels take parameters; null for an undefined one.
inline void* device_data(const torch::Tensor& tensor) {
  return tensor.defined() ? tensor.data_ptr() : nullptr;
}

/// A contiguous tensor of float or double, or an undefined one.
inline DeviceValues device_values(const torch::Tensor& tensor) {
  return {device_data(tensor), tensor.defined() && tensor.scalar_type() == torch::kDouble};
}

/// Uninitialised memory on the device of `like`.
inline torch::Tensor scratch_bytes(std::size_t count, const torch::Tensor& like) {
  return torch::empty({static_cast<std::int64_t>(count)}, like.options().dtype(torch::kByte));
}

}  // namespace flowdarts::mixed_op
