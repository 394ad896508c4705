#pragma once
// Which windows and pixels belong together in a pool, for CUDA kernels. No LibTorch here.

#include <flowdarts/spaces/mixed_op/device.cuh>

#include <flowdarts/spaces/mixed_op/pool_cuda.hpp>

namespace flowdarts::mixed_op {

/// Calls f(p, pixel, c) for the thread's share of [images, height, width, channels]: pixel p, V channels from c on.
template <int V, class F>
__device__ void for_vectors(std::int64_t images, std::int64_t height, std::int64_t width, std::int64_t channels,
                            const F& f) {
  const std::int64_t groups = channels / V;
  const std::int64_t size = images * height * width * groups;
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * block_threads;
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * block_threads + threadIdx.x; i < size; i += step) {
    f(i / groups, Pixel(i / groups, height, width), i % groups * V);
  }
}

/// The part [begin, end) of a window that lies inside [0, size).
struct Window {
  int begin, end;
  int first;  // where the window begins, inside or not

  __device__ Window(int out, std::int64_t size, const DevicePool& s)
      : first(out * static_cast<int>(s.stride) - static_cast<int>(s.padding)) {
    begin = max(first, 0);
    end = min(first + static_cast<int>(s.kernel), static_cast<int>(size));
  }
};

/// The windows [begin, end) that read a place.
struct Readers {
  int begin, end;

  __device__ Readers(int place, std::int64_t out_size, const DevicePool& s) {
    const int kernel = static_cast<int>(s.kernel), stride = static_cast<int>(s.stride);
    const int padded = place + static_cast<int>(s.padding);
    begin = padded < kernel ? 0 : (padded - kernel) / stride + 1;
    end = min(padded / stride + 1, static_cast<int>(out_size));
  }
};

}  // namespace flowdarts::mixed_op
