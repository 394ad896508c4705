#include <flowdarts/spaces/mixed_op/pool.cuh>

namespace flowdarts::mixed_op {
namespace {

template <class T, int V>
__global__ __launch_bounds__(block_threads) void average_kernel(const T* x, const __grid_constant__ DevicePool s,
                                                                T* out) {
  using A = Compute<T>;
  for_vectors<V>(s.images, s.out_height, s.out_width, s.channels,
                 [&](std::int64_t p, const Pixel& pixel, std::int64_t c) {
                   const Window rows(pixel.row, s.height, s), columns(pixel.column, s.width, s);
                   const T* image = x + pixel.image * s.height * s.width * s.channels + c;
                   A sum[V] = {};
                   for (int row = rows.begin; row < rows.end; ++row) {
                     for (int column = columns.begin; column < columns.end; ++column) {
                       A value[V];
                       load<V>(image + (row * s.width + column) * s.channels, value);
#pragma unroll
                       for (int v = 0; v < V; ++v) sum[v] += value[v];
                     }
                   }
                   const auto count = static_cast<A>((rows.end - rows.begin) * (columns.end - columns.begin));
#pragma unroll
                   for (int v = 0; v < V; ++v) sum[v] /= count;
                   store<V>(sum, out + p * s.channels + c);
                 });
}

template <class T, int V>
__global__ __launch_bounds__(block_threads) void average_gradient_kernel(const T* g,
                                                                         const __grid_constant__ DevicePool s, T* dx) {
  using A = Compute<T>;
  for_vectors<V>(s.images, s.height, s.width, s.channels, [&](std::int64_t p, const Pixel& pixel, std::int64_t c) {
    const Readers rows(pixel.row, s.out_height, s), columns(pixel.column, s.out_width, s);
    const T* image = g + pixel.image * s.out_height * s.out_width * s.channels + c;
    A sum[V] = {};
    for (int row = rows.begin; row < rows.end; ++row) {
      const Window window_rows(row, s.height, s);
      for (int column = columns.begin; column < columns.end; ++column) {
        const Window window_columns(column, s.width, s);
        const auto count =
            static_cast<A>((window_rows.end - window_rows.begin) * (window_columns.end - window_columns.begin));
        A value[V];
        load<V>(image + (row * s.out_width + column) * s.channels, value);
#pragma unroll
        for (int v = 0; v < V; ++v) sum[v] += value[v] / count;
      }
    }
    store<V>(sum, dx + p * s.channels + c);
  });
}

template <class T, int V>
__global__ __launch_bounds__(block_threads) void max_kernel(const T* x, const __grid_constant__ DevicePool s, T* out,
                                                            std::uint8_t* chosen) {
  using A = Compute<T>;
  for_vectors<V>(s.images, s.out_height, s.out_width, s.channels,
                 [&](std::int64_t p, const Pixel& pixel, std::int64_t c) {
                   const Window rows(pixel.row, s.height, s), columns(pixel.column, s.width, s);
                   const T* image = x + pixel.image * s.height * s.width * s.channels + c;
                   A best[V];
                   Pack<std::uint8_t, V> places;
                   for (int row = rows.begin; row < rows.end; ++row) {
                     for (int column = columns.begin; column < columns.end; ++column) {
                       const bool first = row == rows.begin && column == columns.begin;
                       const int place = (row - rows.first) * static_cast<int>(s.kernel) + column - columns.first;
                       A value[V];
                       load<V>(image + (row * s.width + column) * s.channels, value);
#pragma unroll
                       for (int v = 0; v < V; ++v) {
                         if (first || value[v] > best[v] || value[v] != value[v]) {
                           best[v] = value[v];
                           places.values[v] = static_cast<std::uint8_t>(place);
                         }
                       }
                     }
                   }
                   store<V>(best, out + p * s.channels + c);
                   if (chosen != nullptr)
                     *reinterpret_cast<Pack<std::uint8_t, V>*>(chosen + p * s.channels + c) = places;
                 });
}

template <class T, int V>
__global__ __launch_bounds__(block_threads) void max_gradient_kernel(const T* g, const std::uint8_t* chosen,
                                                                     const __grid_constant__ DevicePool s, T* dx) {
  using A = Compute<T>;
  for_vectors<V>(s.images, s.height, s.width, s.channels, [&](std::int64_t p, const Pixel& pixel, std::int64_t c) {
    const Readers rows(pixel.row, s.out_height, s), columns(pixel.column, s.out_width, s);
    const std::int64_t image = pixel.image * s.out_height * s.out_width * s.channels + c;
    A sum[V] = {};
    for (int row = rows.begin; row < rows.end; ++row) {
      const int kernel_row = pixel.row - Window(row, s.height, s).first;
      for (int column = columns.begin; column < columns.end; ++column) {
        const int kernel_column = pixel.column - Window(column, s.width, s).first;
        const int place = kernel_row * static_cast<int>(s.kernel) + kernel_column;
        const std::int64_t at = image + (row * s.out_width + column) * s.channels;
        const auto places = *reinterpret_cast<const Pack<std::uint8_t, V>*>(chosen + at);
        A value[V];
        load<V>(g + at, value);
#pragma unroll
        for (int v = 0; v < V; ++v) {
          if (places.values[v] == place) sum[v] += value[v];
        }
      }
    }
    store<V>(sum, dx + p * s.channels + c);
  });
}

std::int64_t in_size(const DevicePool& s) {
  return s.images * s.height * s.width * s.channels;
}

std::int64_t out_size(const DevicePool& s) {
  return s.images * s.out_height * s.out_width * s.channels;
}

template <class T>
bool vectors(const T* a, const T* b, const DevicePool& s) {
  return takes_vectors(a, s.channels, s.channels) && takes_vectors(b, s.channels, s.channels);
}

}  // namespace

template <class T>
std::string average_pool_cuda(const T* x, const DevicePool& s, T* out, void* stream_handle) {
  const auto stream = static_cast<cudaStream_t>(stream_handle);
  constexpr int V = full_vector<T>;
  if (vectors<T>(x, out, s)) {
    average_kernel<T, V><<<grid_for_elements(out_size(s) / V), block_threads, 0, stream>>>(x, s, out);
  } else {
    average_kernel<T, 1><<<grid_for_elements(out_size(s)), block_threads, 0, stream>>>(x, s, out);
  }
  return failure(cudaGetLastError(), "average pool on a GPU");
}

template <class T>
std::string average_pool_gradient_cuda(const T* g, const DevicePool& s, T* dx, void* stream_handle) {
  const auto stream = static_cast<cudaStream_t>(stream_handle);
  constexpr int V = full_vector<T>;
  if (vectors<T>(g, dx, s)) {
    average_gradient_kernel<T, V><<<grid_for_elements(in_size(s) / V), block_threads, 0, stream>>>(g, s, dx);
  } else {
    average_gradient_kernel<T, 1><<<grid_for_elements(in_size(s)), block_threads, 0, stream>>>(g, s, dx);
  }
  return failure(cudaGetLastError(), "gradient of an average pool on a GPU");
}

template <class T>
std::string max_pool_cuda(const T* x, const DevicePool& s, T* out, std::uint8_t* chosen, void* stream_handle) {
  const auto stream = static_cast<cudaStream_t>(stream_handle);
  constexpr int V = full_vector<T>;
  if (vectors<T>(x, out, s) && is_aligned(chosen, V)) {
    max_kernel<T, V><<<grid_for_elements(out_size(s) / V), block_threads, 0, stream>>>(x, s, out, chosen);
  } else {
    max_kernel<T, 1><<<grid_for_elements(out_size(s)), block_threads, 0, stream>>>(x, s, out, chosen);
  }
  return failure(cudaGetLastError(), "max pool on a GPU");
}

template <class T>
std::string max_pool_gradient_cuda(const T* g, const std::uint8_t* chosen, const DevicePool& s, T* dx,
                                   void* stream_handle) {
  const auto stream = static_cast<cudaStream_t>(stream_handle);
  constexpr int V = full_vector<T>;
  if (vectors<T>(g, dx, s) && is_aligned(chosen, V)) {
    max_gradient_kernel<T, V><<<grid_for_elements(in_size(s) / V), block_threads, 0, stream>>>(g, chosen, s, dx);
  } else {
    max_gradient_kernel<T, 1><<<grid_for_elements(in_size(s)), block_threads, 0, stream>>>(g, chosen, s, dx);
  }
  return failure(cudaGetLastError(), "gradient of a max pool on a GPU");
}

#define FLOWDARTS_KERNELS(T)                                                                    \
  template std::string average_pool_cuda<T>(const T*, const DevicePool&, T*, void*);            \
  template std::string average_pool_gradient_cuda<T>(const T*, const DevicePool&, T*, void*);   \
  template std::string max_pool_cuda<T>(const T*, const DevicePool&, T*, std::uint8_t*, void*); \
  template std::string max_pool_gradient_cuda<T>(const T*, const std::uint8_t*, const DevicePool&, T*, void*);
FLOWDARTS_KERNELS(float)
FLOWDARTS_KERNELS(double)
FLOWDARTS_KERNELS(Bf16)
#undef FLOWDARTS_KERNELS

}  // namespace flowdarts::mixed_op
