#include <flowdarts/spaces/mixed_op/device.cuh>

#include <flowdarts/spaces/mixed_op/depthwise_cuda.hpp>

namespace flowdarts::mixed_op {
namespace {

template <class T, int V>
__device__ void load_input(const T* from, bool relu, Compute<T> (&to)[V]) {
  load<V>(from, to);
  if (!relu) return;
#pragma unroll
  for (int v = 0; v < V; ++v) to[v] = to[v] < 0 ? Compute<T>(0) : to[v];  // NaN stays
}

// V output channels of one pixel a thread. V > 1 needs a multiplier of 1.
template <class T, int V>
__global__ __launch_bounds__(block_threads) void forward_kernel(const T* x, const Compute<T>* weight,
                                                                const __grid_constant__ DeviceConvolution s, T* out) {
  using A = Compute<T>;
  const std::int64_t out_channels = s.channels * s.multiplier;
  const std::int64_t groups = out_channels / V;
  const std::int64_t size = s.images * s.out_height * s.out_width * groups;
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * block_threads;
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * block_threads + threadIdx.x; i < size; i += step) {
    const std::int64_t p = i / groups;
    const std::int64_t o = i % groups * V;
    const std::int64_t c = o / s.multiplier;
    const Pixel pixel(p, s.out_height, s.out_width);
    const T* image = x + pixel.image * s.height * s.width * s.channels + c;
    A sum[V] = {};
    for (int a = 0; a < s.kernel; ++a) {
      const std::int64_t row = pixel.row * s.stride - s.padding + a * s.dilation;
      if (row < 0 || row >= s.height) continue;
      for (int b = 0; b < s.kernel; ++b) {
        const std::int64_t column = pixel.column * s.stride - s.padding + b * s.dilation;
        if (column < 0 || column >= s.width) continue;
        A value[V], w[V];
        load_input(image + (row * s.width + column) * s.channels, s.relu_input, value);
        load_coefficients<V>(weight + (a * s.kernel + b) * out_channels + o, w);
#pragma unroll
        for (int v = 0; v < V; ++v) sum[v] += value[v] * w[v];
      }
    }
    store<V>(sum, out + p * out_channels + o);
  }
}

// V input channels of one pixel a thread: gathers from every output pixel that reads it. V > 1 needs a multiplier of 1.
template <class T, int V>
__global__ __launch_bounds__(block_threads) void input_gradient_kernel(const T* g, const T* x, const Compute<T>* weight,
                                                                       const __grid_constant__ DeviceConvolution s,
                                                                       T* dx) {
  using A = Compute<T>;
  const std::int64_t out_channels = s.channels * s.multiplier;
  const std::int64_t groups = s.channels / V;
  const std::int64_t size = s.images * s.height * s.width * groups;
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * block_threads;
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * block_threads + threadIdx.x; i < size; i += step) {
    const std::int64_t p = i / groups;
    const std::int64_t c = i % groups * V;
    const std::int64_t o = c * s.multiplier;
    const Pixel pixel(p, s.height, s.width);
    const T* image = g + pixel.image * s.out_height * s.out_width * out_channels + o;
    A sum[V] = {};
    for (int a = 0; a < s.kernel; ++a) {
      const auto from_row = static_cast<int>(pixel.row + s.padding - a * s.dilation);  // row * stride of the output
      const auto row = from_row / static_cast<int>(s.stride);
      if (from_row < 0 || from_row % static_cast<int>(s.stride) != 0 || row >= s.out_height) continue;
      for (int b = 0; b < s.kernel; ++b) {
        const auto from_column = static_cast<int>(pixel.column + s.padding - b * s.dilation);
        const auto column = from_column / static_cast<int>(s.stride);
        if (from_column < 0 || from_column % static_cast<int>(s.stride) != 0 || column >= s.out_width) continue;
        const T* gradients = image + (row * s.out_width + column) * out_channels;
        const A* taps = weight + (a * s.kernel + b) * out_channels + o;
        if constexpr (V > 1) {
          A value[V], w[V];
          load<V>(gradients, value);
          load_coefficients<V>(taps, w);
#pragma unroll
          for (int v = 0; v < V; ++v) sum[v] += value[v] * w[v];
        } else {
          for (int j = 0; j < s.multiplier; ++j) sum[0] += widen(gradients[j]) * taps[j];
        }
      }
    }
    if (s.relu_input) {
      A value[V];
      load<V>(x + p * s.channels + c, value);
#pragma unroll
      for (int v = 0; v < V; ++v) {
        if (!(value[v] > 0)) sum[v] = 0;
      }
    }
    store<V>(sum, dx + p * s.channels + c);
  }
}

/// How the weight gradient's sum over output pixels is cut: as Segments, but with at most 256 pixels a thread, as sums
/// in float allow; longer vectors only leave more threads to share the pixels. By the shape alone.
Segments weight_segments(const DeviceConvolution& s) {
  const std::int64_t out_channels = s.channels * s.multiplier;
  Segments segments(s.images * s.out_height * s.out_width, out_channels);
  const std::int64_t most = 256 * static_cast<std::int64_t>(Split<1>(out_channels).lanes);
  if (segments.size > most) {
    segments.size = most;
    segments.count = (segments.pixels + most - 1) / most;
  }
  return segments;
}

// Sums g x over the pixels of a segment for R taps of one kernel row. R is the kernel or 1. V > 1 needs a multiplier of
// 1. partials: [taps, segments, out_channels].
template <class T, int V, int R>
__global__ __launch_bounds__(block_threads) void weight_gradient_kernel(const T* g, const T* x,
                                                                        const __grid_constant__ DeviceConvolution s,
                                                                        std::int64_t segments,
                                                                        std::int64_t segment_size, double* partials) {
  using A = Compute<T>;
  __shared__ double buffer[V * block_threads];
  const std::int64_t out_channels = s.channels * s.multiplier;
  const std::int64_t pixels = s.images * s.out_height * s.out_width;
  const Split<V> split(out_channels);
  const std::int64_t items = s.kernel * s.kernel / R * segments * split.chunks;
  for (std::int64_t item = blockIdx.x; item < items; item += gridDim.x) {
    const std::int64_t chunk = item % split.chunks;
    const std::int64_t segment = item / split.chunks % segments;
    const std::int64_t tap = item / split.chunks / segments * R;
    const std::int64_t o = split.channel(chunk);
    A sum[R][V] = {};
    if (split.has_work(chunk, out_channels)) {
      const std::int64_t first_row = tap / s.kernel * s.dilation - s.padding;
      const std::int64_t first_column = tap % s.kernel * s.dilation - s.padding;
      const std::int64_t end = min((segment + 1) * segment_size, pixels);
      const T* channel = x + o / s.multiplier;
      for (std::int64_t p = segment * segment_size + split.lane(); p < end; p += split.lanes) {
        const Pixel pixel(p, s.out_height, s.out_width);
        const std::int64_t row = pixel.row * s.stride + first_row;
        if (row < 0 || row >= s.height) continue;
        A slope[V];
        load<V>(g + p * out_channels + o, slope);
        const T* from = channel + (pixel.image * s.height + row) * s.width * s.channels;
#pragma unroll
        for (int r = 0; r < R; ++r) {
          const std::int64_t column = pixel.column * s.stride + first_column + r * s.dilation;
          if (column < 0 || column >= s.width) continue;
          A value[V];
          load_input(from + column * s.channels, s.relu_input, value);
#pragma unroll
          for (int v = 0; v < V; ++v) sum[r][v] += slope[v] * value[v];
        }
      }
    }
#pragma unroll
    for (int r = 0; r < R; ++r) {
      double sums[V];
#pragma unroll
      for (int v = 0; v < V; ++v) sums[v] = sum[r][v];
      sum_over_lanes(sums, buffer, split);
      if (split.lane() == 0 && o < out_channels) {
#pragma unroll
        for (int v = 0; v < V; ++v) partials[((tap + r) * segments + segment) * out_channels + o + v] = sums[v];
      }
    }
  }
}

// One warp a (tap, channel).
template <class A>
__global__ __launch_bounds__(block_threads) void weight_gradient_finish(const double* partials, std::int64_t taps,
                                                                        std::int64_t segments,
                                                                        std::int64_t out_channels, A* dweight) {
  const std::int64_t warps = static_cast<std::int64_t>(gridDim.x) * (block_threads / 32);
  const std::int64_t warp = static_cast<std::int64_t>(blockIdx.x) * (block_threads / 32) + threadIdx.x / 32;
  for (std::int64_t i = warp; i < taps * out_channels; i += warps) {
    const std::int64_t tap = i / out_channels;
    const std::int64_t o = i % out_channels;
    double sum = 0;
    for (std::int64_t segment = threadIdx.x % 32; segment < segments; segment += 32) {
      sum += partials[(tap * segments + segment) * out_channels + o];
    }
    sum = sum_over_warp(sum);
    if (threadIdx.x % 32 == 0) dweight[o * taps + tap] = static_cast<A>(sum);
  }
}

template <class T, int V, int R>
std::string launch_weight_gradient(const T* g, const T* x, const DeviceConvolution& s, double* partials,
                                   Compute<T>* dweight, cudaStream_t stream) {
  const Segments segments = weight_segments(s);
  const std::int64_t out_channels = s.channels * s.multiplier;
  const std::int64_t taps = s.kernel * s.kernel;
  weight_gradient_kernel<T, V, R>
      <<<grid_for(taps / R * segments.count * Split<V>(out_channels).chunks), block_threads, 0, stream>>>(
          g, x, s, segments.count, segments.size, partials);
  const cudaError_t status = cudaGetLastError();
  if (status != cudaSuccess) return failure(status, "weight gradient of a depthwise convolution on a GPU");
  weight_gradient_finish<<<grid_for((taps * out_channels + 7) / 8), block_threads, 0, stream>>>(
      partials, taps, segments.count, out_channels, dweight);
  return failure(cudaGetLastError(), "weight gradient of a depthwise convolution on a GPU");
}

template <class T, int V>
std::string weight_gradient(const T* g, const T* x, const DeviceConvolution& s, double* partials, Compute<T>* dweight,
                            cudaStream_t stream) {
  switch (s.kernel) {
    case 3:
      return launch_weight_gradient<T, V, 3>(g, x, s, partials, dweight, stream);
    case 5:
      return launch_weight_gradient<T, V, 5>(g, x, s, partials, dweight, stream);
    case 7:
      return launch_weight_gradient<T, V, 7>(g, x, s, partials, dweight, stream);
    default:
      return launch_weight_gradient<T, V, 1>(g, x, s, partials, dweight, stream);
  }
}

template <class T>
bool vectors(const T* a, const T* b, const DeviceConvolution& s) {
  return s.multiplier == 1 && takes_vectors(a, s.channels, s.channels) && takes_vectors(b, s.channels, s.channels);
}

}  // namespace

template <class T>
std::string depthwise_cuda(const T* x, const Compute<T>* weight, const DeviceConvolution& s, T* out,
                           void* stream_handle) {
  const auto stream = static_cast<cudaStream_t>(stream_handle);
  const std::int64_t size = s.images * s.out_height * s.out_width * s.channels * s.multiplier;
  constexpr int V = full_vector<T>;
  if (vectors<T>(x, out, s) && is_aligned(weight, 16)) {
    forward_kernel<T, V><<<grid_for_elements(size / V), block_threads, 0, stream>>>(x, weight, s, out);
  } else {
    forward_kernel<T, 1><<<grid_for_elements(size), block_threads, 0, stream>>>(x, weight, s, out);
  }
  return failure(cudaGetLastError(), "depthwise convolution on a GPU");
}

template <class T>
std::string depthwise_input_gradient_cuda(const T* g, const T* x, const Compute<T>* weight, const DeviceConvolution& s,
                                          T* dx, void* stream_handle) {
  const auto stream = static_cast<cudaStream_t>(stream_handle);
  const std::int64_t size = s.images * s.height * s.width * s.channels;
  constexpr int V = full_vector<T>;
  if (vectors<T>(g, dx, s) && takes_vectors(x, s.channels, s.channels) && is_aligned(weight, 16)) {
    input_gradient_kernel<T, V><<<grid_for_elements(size / V), block_threads, 0, stream>>>(g, x, weight, s, dx);
  } else {
    input_gradient_kernel<T, 1><<<grid_for_elements(size), block_threads, 0, stream>>>(g, x, weight, s, dx);
  }
  return failure(cudaGetLastError(), "input gradient of a depthwise convolution on a GPU");
}

template <class T>
std::string depthwise_weight_gradient_cuda(const T* g, const T* x, const DeviceConvolution& s, void* scratch,
                                           Compute<T>* dweight, void* stream_handle) {
  const auto stream = static_cast<cudaStream_t>(stream_handle);
  auto* partials = static_cast<double*>(scratch);
  return vectors<T>(g, x, s) ? weight_gradient<T, full_vector<T>>(g, x, s, partials, dweight, stream)
                             : weight_gradient<T, 1>(g, x, s, partials, dweight, stream);
}

std::size_t depthwise_scratch(const DeviceConvolution& s) {
  return static_cast<std::size_t>(s.kernel * s.kernel * weight_segments(s).count * s.channels * s.multiplier) *
         sizeof(double);
}

#define FLOWDARTS_KERNELS(T)                                                                                  \
  template std::string depthwise_cuda<T>(const T*, const Compute<T>*, const DeviceConvolution&, T*, void*);   \
  template std::string depthwise_input_gradient_cuda<T>(const T*, const T*, const Compute<T>*,                \
                                                        const DeviceConvolution&, T*, void*);                 \
  template std::string depthwise_weight_gradient_cuda<T>(const T*, const T*, const DeviceConvolution&, void*, \
                                                         Compute<T>*, void*);
FLOWDARTS_KERNELS(float)
FLOWDARTS_KERNELS(double)
FLOWDARTS_KERNELS(Bf16)
#undef FLOWDARTS_KERNELS

}  // namespace flowdarts::mixed_op
