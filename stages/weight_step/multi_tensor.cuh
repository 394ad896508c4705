#pragma once
// One kernel over many tensors: they are cut into chunks of one block each. No LibTorch here.

#include <cuda_runtime.h>

#include <cstdint>
#include <span>
#include <string>

namespace flowdarts::optimizer {

inline constexpr int block_threads = 256;
inline constexpr std::int64_t chunk_size = 2048;

inline std::int64_t chunk_count(std::int64_t size) {
  return (size + chunk_size - 1) / chunk_size;
}

/// As many tensors as fit in the arguments of a kernel. Tensor: a struct of pointers and a size.
template <class Tensor>
struct TensorBatch {
  static constexpr int most = 3584 / static_cast<int>(sizeof(Tensor) + sizeof(std::int64_t));
  Tensor tensors[most];
  std::int64_t first_chunk[most];  // of each tensor in this batch
  int count = 0;
  std::int64_t chunks = 0;         // of all tensors of this batch
  std::int64_t chunks_before = 0;  // of earlier batches

  /// The tensor of a chunk: the last one that does not begin after it. None of the tensors is empty.
  __device__ int tensor_of(std::int64_t chunk) const {
    int low = 0, high = count - 1;
    while (low < high) {
      const int middle = (low + high + 1) / 2;
      if (first_chunk[middle] <= chunk) {
        low = middle;
      } else {
        high = middle - 1;
      }
    }
    return low;
  }
};

/// Calls f(batch) for batches of the tensors that are not empty, until one returns what failed.
template <class Tensor, class F>
std::string for_batches(std::span<const Tensor> tensors, const F& f) {
  TensorBatch<Tensor> batch;
  const auto flush = [&]() -> std::string {
    if (batch.count == 0) return {};
    std::string failure = f(batch);
    batch.chunks_before += batch.chunks;
    batch.count = 0;
    batch.chunks = 0;
    return failure;
  };
  for (const Tensor& tensor : tensors) {
    const std::int64_t chunks = chunk_count(tensor.size);
    if (chunks == 0) continue;
    if (batch.count == TensorBatch<Tensor>::most || batch.chunks + chunks > (std::int64_t{1} << 30)) {
      if (std::string failure = flush(); !failure.empty()) return failure;
    }
    batch.tensors[batch.count] = tensor;
    batch.first_chunk[batch.count] = batch.chunks;
    batch.chunks += chunks;
    ++batch.count;
  }
  return flush();
}

/// What failed, nothing on success.
inline std::string failure(cudaError_t status, const char* action) {
  if (status == cudaSuccess) return {};
  cudaGetLastError();  // leaves no error behind for the next one who asks
  return std::string(action) + ": " + cudaGetErrorString(status);
}

}  // namespace flowdarts::optimizer
