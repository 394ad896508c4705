#include <flowdarts/stages/arch_step/adam_cuda.hpp>
#include <flowdarts/stages/weight_step/multi_tensor.cuh>

namespace flowdarts::optimizer {
namespace {

template <class T>
using Batch = TensorBatch<AdamTensor<T>>;

// One block a chunk.
template <class T>
__global__ __launch_bounds__(block_threads) void update_kernel(const __grid_constant__ Batch<T> batch,
                                                               const __grid_constant__ AdamFactors factors,
                                                               const double* changing) {
  const int t = batch.tensor_of(blockIdx.x);
  const AdamTensor<T>& tensor = batch.tensors[t];
  const std::int64_t begin = (blockIdx.x - batch.first_chunk[t]) * chunk_size;
  const std::int64_t end = min(begin + chunk_size, tensor.size);
  const auto weight_decay = static_cast<T>(factors.weight_decay), beta1 = static_cast<T>(factors.beta1),
             beta2 = static_cast<T>(factors.beta2), rest1 = static_cast<T>(1 - factors.beta1),
             rest2 = static_cast<T>(1 - factors.beta2), step_size = static_cast<T>(changing[0]),
             correction = static_cast<T>(1 / changing[1]), eps = static_cast<T>(factors.eps);
  for (std::int64_t i = begin + threadIdx.x; i < end; i += block_threads) {
    const T weight = tensor.weight[i];
    const T gradient = tensor.gradient[i] + weight_decay * weight;
    const T first = beta1 * tensor.first[i] + rest1 * gradient;
    const T second = beta2 * tensor.second[i] + rest2 * gradient * gradient;
    tensor.first[i] = first;
    tensor.second[i] = second;
    tensor.weight[i] = weight - step_size * (first / (sqrt(second) * correction + eps));
  }
}

}  // namespace

template <class T>
std::string adam_step_cuda(std::span<const AdamTensor<T>> tensors, const double* changing, const AdamFactors& factors,
                           void* stream_handle) {
  static_assert(sizeof(Batch<T>) + sizeof(AdamFactors) + 64 <= 4096);  // what every driver takes
  const auto stream = static_cast<cudaStream_t>(stream_handle);
  return for_batches(tensors, [&](const Batch<T>& batch) {
    update_kernel<T><<<static_cast<unsigned>(batch.chunks), block_threads, 0, stream>>>(batch, factors, changing);
    return failure(cudaGetLastError(), "Adam step on a GPU");
  });
}

template std::string adam_step_cuda<float>(std::span<const AdamTensor<float>>, const double*, const AdamFactors&,
                                           void*);
template std::string adam_step_cuda<double>(std::span<const AdamTensor<double>>, const double*, const AdamFactors&,
                                            void*);

}  // namespace flowdarts::optimizer
