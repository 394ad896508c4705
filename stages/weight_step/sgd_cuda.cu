#include <flowdarts/stages/weight_step/multi_tensor.cuh>
#include <flowdarts/stages/weight_step/sgd_cuda.hpp>

namespace flowdarts::optimizer {
namespace {

template <class T>
using Batch = TensorBatch<SgdTensor<T>>;

/// The sum of value over the threads of a block, in thread 0; always added in the same order.
__device__ double sum_over_block(double value) {
  __shared__ double buffer[block_threads];
  const auto thread = static_cast<int>(threadIdx.x);
  buffer[thread] = value;
  for (int step = block_threads / 2; step > 0; step /= 2) {
    __syncthreads();
    if (thread < step) buffer[thread] += buffer[thread + step];
  }
  return buffer[0];  // thread 0 wrote it
}

// One block a chunk.
template <class T>
__global__ __launch_bounds__(block_threads) void sum_of_squares_kernel(const __grid_constant__ Batch<T> batch,
                                                                       double* partials) {
  const int t = batch.tensor_of(blockIdx.x);
  const SgdTensor<T>& tensor = batch.tensors[t];
  const std::int64_t begin = (blockIdx.x - batch.first_chunk[t]) * chunk_size;
  const std::int64_t end = min(begin + chunk_size, tensor.size);
  double sum = 0;
  if (tensor.gradient != nullptr) {
    for (std::int64_t i = begin + threadIdx.x; i < end; i += block_threads) {
      const double value = tensor.gradient[i];
      sum += value * value;
    }
  }
  sum = sum_over_block(sum);
  if (threadIdx.x == 0) partials[batch.chunks_before + blockIdx.x] = sum;
}

// One block. What clipping multiplies the gradients by, as clip_grad_norm_ has it: NaN where the norm is.
__global__ __launch_bounds__(block_threads) void clip_scale_kernel(const double* partials, std::int64_t count,
                                                                   double clip, double* scale) {
  double sum = 0;
  for (std::int64_t i = threadIdx.x; i < count; i += block_threads) sum += partials[i];
  sum = sum_over_block(sum);
  if (threadIdx.x == 0) {
    const double factor = clip / (sqrt(sum) + 1e-6);
    *scale = factor > 1 ? 1 : factor;
  }
}

// One block a chunk. clip_scale: null, or what to multiply the gradients by besides.
template <class T>
__global__ __launch_bounds__(block_threads) void update_kernel(const __grid_constant__ Batch<T> batch,
                                                               const __grid_constant__ SgdFactors factors,
                                                               const double* learning_rate, const double* clip_scale) {
  const int t = batch.tensor_of(blockIdx.x);
  const SgdTensor<T>& tensor = batch.tensors[t];
  const std::int64_t begin = (blockIdx.x - batch.first_chunk[t]) * chunk_size;
  const std::int64_t end = min(begin + chunk_size, tensor.size);
  const auto scale = static_cast<T>(factors.gradient_scale * (clip_scale != nullptr ? *clip_scale : 1.0));
  const auto weight_decay = static_cast<T>(factors.weight_decay), momentum = static_cast<T>(factors.momentum),
             lr = static_cast<T>(*learning_rate);
#pragma unroll 4
  for (std::int64_t i = begin + threadIdx.x; i < end; i += block_threads) {
    const T weight = tensor.weight[i];
    const T gradient = tensor.gradient != nullptr ? scale * tensor.gradient[i] : T(0);
    const T direction = gradient + weight_decay * weight;
    const T velocity = momentum * tensor.velocity[i] + direction;
    tensor.velocity[i] = velocity;
    tensor.weight[i] = weight - lr * (factors.nesterov ? direction + momentum * velocity : velocity);
  }
}

template <class T>
std::int64_t all_chunks(std::span<const SgdTensor<T>> tensors) {
  std::int64_t chunks = 0;
  for (const SgdTensor<T>& tensor : tensors) chunks += chunk_count(tensor.size);
  return chunks;
}

}  // namespace

template <class T>
std::string sgd_step_cuda(std::span<const SgdTensor<T>> tensors, const double* lr, const SgdFactors& factors,
                          double clip, void* scratch, void* stream_handle) {
  static_assert(sizeof(Batch<T>) + sizeof(SgdFactors) + 64 <= 4096);  // what every driver takes
  const auto stream = static_cast<cudaStream_t>(stream_handle);
  auto* const scale = static_cast<double*>(scratch);  // and the chunks' sums behind it
  if (clip > 0) {
    std::string error = for_batches(tensors, [&](const Batch<T>& batch) {
      sum_of_squares_kernel<T><<<static_cast<unsigned>(batch.chunks), block_threads, 0, stream>>>(batch, scale + 1);
      return failure(cudaGetLastError(), "norm of the gradients on a GPU");
    });
    if (!error.empty()) return error;
    clip_scale_kernel<<<1, block_threads, 0, stream>>>(scale + 1, all_chunks(tensors), clip, scale);
    error = failure(cudaGetLastError(), "norm of the gradients on a GPU");
    if (!error.empty()) return error;
  }
  return for_batches(tensors, [&](const Batch<T>& batch) {
    update_kernel<T><<<static_cast<unsigned>(batch.chunks), block_threads, 0, stream>>>(batch, factors, lr,
                                                                                        clip > 0 ? scale : nullptr);
    return failure(cudaGetLastError(), "SGD step on a GPU");
  });
}

template <class T>
std::size_t sgd_scratch(std::span<const SgdTensor<T>> tensors) {
  return static_cast<std::size_t>(1 + all_chunks(tensors)) * sizeof(double);
}

#define FLOWDARTS_KERNELS(T)                                                                                     \
  template std::string sgd_step_cuda<T>(std::span<const SgdTensor<T>>, const double*, const SgdFactors&, double, \
                                        void*, void*);                                                           \
  template std::size_t sgd_scratch<T>(std::span<const SgdTensor<T>>);
FLOWDARTS_KERNELS(float)
FLOWDARTS_KERNELS(double)
#undef FLOWDARTS_KERNELS

}  // namespace flowdarts::optimizer
