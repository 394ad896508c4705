#pragma once
// What the CUDA kernels of this folder share. No LibTorch here. To be included before anything else of this folder.

// Rows<const T> has a conversion to itself, which nobody calls.
#pragma nv_diag_suppress 554

#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include <cstdint>
#include <flowdarts/spaces/mixed_op/device_values.hpp>
#include <flowdarts/spaces/mixed_op/rows.hpp>
#include <initializer_list>
#include <string>

namespace flowdarts::mixed_op {

inline constexpr int block_threads = 256;

/// Elements of type T in a vector of 16 bytes.
template <class T>
inline constexpr int full_vector = 16 / static_cast<int>(sizeof(T));

template <class T, int V>
struct alignas(sizeof(T) * V) Pack {
  T values[V];
};

__device__ inline float widen(float x) {
  return x;
}
__device__ inline double widen(double x) {
  return x;
}
__device__ inline float widen(Bf16 x) {
  return __uint_as_float(static_cast<std::uint32_t>(x.bits) << 16);
}

template <class T>
__device__ inline T narrow(Compute<T> x) {
  if constexpr (std::is_same_v<T, Bf16>) {
    return {__bfloat16_as_ushort(__float2bfloat16_rn(x))};
  } else {
    return x;
  }
}

__device__ inline double read(const DeviceValues& values, std::int64_t i, double fallback) {
  if (values.data == nullptr) return fallback;
  return values.wide ? static_cast<const double*>(values.data)[i] : static_cast<const float*>(values.data)[i];
}

__device__ inline void write(const DeviceValues& values, std::int64_t i, double value) {
  if (values.wide) {
    static_cast<double*>(values.data)[i] = value;
  } else {
    static_cast<float*>(values.data)[i] = static_cast<float>(value);
  }
}

/// V elements that begin at a multiple of their size together.
template <int V, class T>
__device__ inline void load(const T* from, Compute<T> (&to)[V]) {
  const auto pack = *reinterpret_cast<const Pack<T, V>*>(from);
#pragma unroll
  for (int i = 0; i < V; ++i) to[i] = widen(pack.values[i]);
}

template <int V, class T>
__device__ inline void store(const Compute<T> (&from)[V], T* to) {
  Pack<T, V> pack;
#pragma unroll
  for (int i = 0; i < V; ++i) pack.values[i] = narrow<T>(from[i]);
  *reinterpret_cast<Pack<T, V>*>(to) = pack;
}

/// V coefficients of float or double, from an address that is a multiple of 16 bytes where V fills such vectors.
template <int V, class A>
__device__ inline void load_coefficients(const A* from, A (&to)[V]) {
  constexpr int width = V % full_vector<A> == 0 ? full_vector<A> : 1;
#pragma unroll
  for (int i = 0; i < V; i += width) {
    const auto pack = *reinterpret_cast<const Pack<A, width>*>(from + i);
#pragma unroll
    for (int j = 0; j < width; ++j) to[i + j] = pack.values[j];
  }
}

/// How the threads of a block share channels, V at a time (a group), and pixels: neighbours take neighbouring groups,
/// then the next pixel. Where the groups outnumber the threads they come in several chunks.
template <int V>
struct Split {
  int width;   // groups of a chunk
  int lanes;   // pixels that the block works on at once
  int chunks;  // of the channels

  __host__ __device__ explicit Split(std::int64_t channels) {
    const std::int64_t groups = channels / V;
    width = static_cast<int>(groups < block_threads ? groups : block_threads);
    lanes = block_threads / width;
    chunks = static_cast<int>((groups + width - 1) / width);
  }
  __device__ int lane() const { return static_cast<int>(threadIdx.x) / width; }
  /// The thread's first channel in a chunk.
  __device__ std::int64_t channel(std::int64_t chunk) const {
    return (chunk * width + static_cast<int>(threadIdx.x) % width) * V;
  }
  /// Whether the thread has any: threads left over by the lanes and by the last chunk have none.
  __device__ bool has_work(std::int64_t chunk, std::int64_t channels) const {
    return lane() < lanes && channel(chunk) < channels;
  }
};

/// The sums of values over the lanes of a block, in the threads of lane 0; always added in the same order. All threads
/// of the block call it, those without work with zeros. buffer: shared, N * block_threads.
template <int N, int V>
__device__ inline void sum_over_lanes(double (&values)[N], double* buffer, const Split<V>& split) {
  const int thread = static_cast<int>(threadIdx.x);
  __syncthreads();  // whoever read the buffer before is done
#pragma unroll
  for (int i = 0; i < N; ++i) buffer[i * block_threads + thread] = values[i];
  __syncthreads();
  int step = 1;
  while (step < split.lanes) step *= 2;
  for (step /= 2; step > 0; step /= 2) {
    const int lane = split.lane();
    if (lane < step && lane + step < split.lanes) {
#pragma unroll
      for (int i = 0; i < N; ++i) {
        buffer[i * block_threads + thread] += buffer[i * block_threads + thread + step * split.width];
      }
    }
    __syncthreads();
  }
  if (split.lane() == 0) {
#pragma unroll
    for (int i = 0; i < N; ++i) values[i] = buffer[i * block_threads + thread];
  }
}

/// The sum over the lanes of a warp in all of them, always added in the same order.
__device__ inline double sum_over_warp(double value) {
#pragma unroll
  for (int step = 16; step > 0; step /= 2) value += __shfl_xor_sync(0xffffffffU, value, step);
  return value;
}

/// How the sums over pixels are cut into segments: by the shape alone, so that no bit depends on the device.
struct Segments {
  std::int64_t pixels;
  std::int64_t size;
  std::int64_t count;

  Segments(std::int64_t pixel_count, std::int64_t channels) : pixels(pixel_count) {
    constexpr std::int64_t most = 256;
    size = 8192 / channels < 128 ? 128 : 8192 / channels;
    if (size * most < pixels) size = (pixels + most - 1) / most;
    count = (pixels + size - 1) / size;
  }
};

inline bool is_aligned(const void* data, std::size_t bytes) {
  return reinterpret_cast<std::uintptr_t>(data) % bytes == 0;
}

/// Whether rows of `channels` elements can be read in vectors of 16 bytes. Null is.
template <class T>
bool takes_vectors(const T* data, std::int64_t stride, std::int64_t channels) {
  return is_aligned(data, 16) && stride % full_vector<T> == 0 && channels % full_vector<T> == 0;
}

/// Blocks for kernels that loop over so many pieces of work, a block each or a thread each.
inline unsigned grid_for(std::int64_t pieces) {
  constexpr std::int64_t most = 1 << 20;
  return static_cast<unsigned>(pieces < 1 ? 1 : pieces < most ? pieces : most);
}
inline unsigned grid_for_elements(std::int64_t pieces) {
  return grid_for((pieces + block_threads - 1) / block_threads);
}

/// A pixel of [images, height, width], less than 2^31 of them: divisions of 64 bits are slow.
struct Pixel {
  int image, row, column;

  __device__ Pixel(std::int64_t pixel, std::int64_t height, std::int64_t width) {
    const auto p = static_cast<unsigned>(pixel), w = static_cast<unsigned>(width), h = static_cast<unsigned>(height);
    column = static_cast<int>(p % w);
    row = static_cast<int>(p / w % h);
    image = static_cast<int>(p / w / h);
  }
};

/// What failed, nothing on success.
inline std::string failure(cudaError_t status, const char* action) {
  if (status == cudaSuccess) return {};
  cudaGetLastError();  // leaves no error behind for the next one who asks
  return std::string(action) + ": " + cudaGetErrorString(status);
}

/// Launches a kernel whose blocks wait for one another, with at most as many blocks as run at once.
template <class Arguments>
std::string launch_cooperative(void (*kernel)(Arguments), Arguments arguments, std::int64_t blocks, cudaStream_t stream,
                               const char* action) {
  int device = 0, processors = 0, blocks_each = 0;
  cudaError_t status = cudaGetDevice(&device);
  if (status == cudaSuccess) status = cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, device);
  if (status == cudaSuccess) {
    status = cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks_each, kernel, block_threads, 0);
  }
  if (status != cudaSuccess) return failure(status, action);
  const std::int64_t most = static_cast<std::int64_t>(processors) * blocks_each;
  const std::int64_t wanted = blocks < 1 ? 1 : blocks;
  void* values[] = {&arguments};
  return failure(cudaLaunchCooperativeKernel(reinterpret_cast<const void*>(kernel),
                                             dim3(static_cast<unsigned>(wanted < most ? wanted : most)),
                                             dim3(block_threads), values, 0, stream),
                 action);
}

}  // namespace flowdarts::mixed_op
