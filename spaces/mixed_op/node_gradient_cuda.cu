#include <flowdarts/spaces/mixed_op/pool.cuh>

#include <flowdarts/spaces/mixed_op/node_gradient_cuda.hpp>

namespace flowdarts::mixed_op {
namespace {

/// sum += the readers' weighted gradients at pixel p.
template <int V, class T>
__device__ void add_readers(const typename NodeGradient<T>::Reader* readers, int count, const DeviceValues& weights,
                            std::int64_t p, std::int64_t c, Compute<T> (&sum)[V]) {
  using A = Compute<T>;
  for (int k = 0; k < count; ++k) {
    const auto weight = static_cast<A>(read(weights, readers[k].place, 1));
    if (weight == 0) continue;
    A value[V];
    load<V>(readers[k].g.data + p * readers[k].g.stride + c, value);
#pragma unroll
    for (int v = 0; v < V; ++v) sum[v] += weight * value[v];
  }
}

template <class T, int V>
__global__ __launch_bounds__(block_threads) void node_gradient_kernel(const __grid_constant__ NodeGradient<T> node) {
  using A = Compute<T>;
  const DevicePool& s = node.pool;
  for_vectors<V>(s.images, s.height, s.width, s.channels, [&](std::int64_t p, const Pixel& pixel, std::int64_t c) {
    A sum[V] = {};
    add_readers<V, T>(node.direct, node.direct_count, node.weights, p, c, sum);
    if (node.pooled_count > 0) {
      const Readers rows(pixel.row, s.out_height, s), columns(pixel.column, s.out_width, s);
      const std::int64_t image = pixel.image * s.out_height * s.out_width;
      for (int row = rows.begin; row < rows.end; ++row) {
        const Window window_rows(row, s.height, s);
        for (int column = columns.begin; column < columns.end; ++column) {
          const Window window_columns(column, s.width, s);
          const auto count =
              static_cast<A>((window_rows.end - window_rows.begin) * (window_columns.end - window_columns.begin));
          A value[V] = {};
          add_readers<V, T>(node.pooled, node.pooled_count, node.weights, image + row * s.out_width + column, c, value);
#pragma unroll
          for (int v = 0; v < V; ++v) sum[v] += value[v] / count;
        }
      }
    }
    if (node.gated_count > 0) {
      A open[V], gated[V] = {};
      load<V>(node.gate.data + p * node.gate.stride + c, open);
      for (int k = 0; k < node.gated_count; ++k) {
        A value[V];
        load<V>(node.gated[k].data + p * node.gated[k].stride + c, value);
#pragma unroll
        for (int v = 0; v < V; ++v) gated[v] += value[v];
      }
#pragma unroll
      for (int v = 0; v < V; ++v) {
        if (open[v] > 0) sum[v] += gated[v];
      }
    }
    store<V>(sum, node.dx.data + p * node.dx.stride + c);
  });
}

template <class T>
bool vectors(const NodeGradient<T>& node) {
  const auto takes = [&](Rows<const T> rows) { return takes_vectors<T>(rows.data, rows.stride, node.pool.channels); };
  bool all = takes(node.dx) && takes(node.gate);
  for (int k = 0; k < node.direct_count; ++k) all = all && takes(node.direct[k].g);
  for (int k = 0; k < node.pooled_count; ++k) all = all && takes(node.pooled[k].g);
  for (int k = 0; k < node.gated_count; ++k) all = all && takes(node.gated[k]);
  return all;
}

// What every driver takes as the arguments of a kernel.
static_assert(sizeof(NodeGradient<float>) <= 4096);

template <class T, int V>
std::string launch(const NodeGradient<T>& node, void* stream) {
  const std::int64_t size = node.pool.images * node.pool.height * node.pool.width * node.pool.channels;
  node_gradient_kernel<T, V>
      <<<grid_for_elements(size / V), block_threads, 0, static_cast<cudaStream_t>(stream)>>>(node);
  return failure(cudaGetLastError(), "gradient of a node on a GPU");
}

}  // namespace

template <class T>
std::string node_gradient_cuda(const NodeGradient<T>& node, void* stream) {
  return vectors(node) ? launch<T, full_vector<T>>(node, stream) : launch<T, 1>(node, stream);
}

template std::string node_gradient_cuda<float>(const NodeGradient<float>&, void*);
template std::string node_gradient_cuda<double>(const NodeGradient<double>&, void*);
template std::string node_gradient_cuda<Bf16>(const NodeGradient<Bf16>&, void*);

}  // namespace flowdarts::mixed_op
