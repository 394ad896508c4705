#include <cuda_runtime.h>
#include <thrust/sequence.h>
#include <thrust/sort.h>
#include <thrust/system/cuda/execution_policy.h>

#include <exception>
#include <flowdarts/stages/prune/sort_keys.hpp>
#include <stdexcept>

namespace flowdarts::detail {
namespace {

void require(cudaError_t status, const char* action) {
  if (status != cudaSuccess) throw std::runtime_error(std::string(action) + ": " + cudaGetErrorString(status));
}

/// Device memory that lives on a stream.
template <class T>
class DeviceArray {
 public:
  DeviceArray(std::size_t size, cudaStream_t stream) : stream_(stream) {
    require(cudaMallocAsync(&data_, size * sizeof(T), stream), "allocating device memory");
  }
  ~DeviceArray() { cudaFreeAsync(data_, stream_); }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;

  [[nodiscard]] T* data() const { return static_cast<T*>(data_); }

 private:
  void* data_ = nullptr;
  cudaStream_t stream_;
};

/// Thrust's temporary storage, on the same stream: a plain cudaMalloc would wait for the whole device.
class StreamAllocator {
 public:
  using value_type = char;
  explicit StreamAllocator(cudaStream_t stream) : stream_(stream) {}

  char* allocate(std::ptrdiff_t bytes) const {
    void* data = nullptr;
    require(cudaMallocAsync(&data, static_cast<std::size_t>(bytes), stream_), "allocating device memory");
    return static_cast<char*>(data);
  }
  void deallocate(char* data, std::size_t) const { cudaFreeAsync(data, stream_); }

 private:
  cudaStream_t stream_;
};

}  // namespace

bool cuda_device_present() {
  int devices = 0;
  const bool present = cudaGetDeviceCount(&devices) == cudaSuccess && devices > 0;
  if (!present) cudaGetLastError();  // leaves no error behind for the next one who asks
  return present;
}

std::string sort_keys_cuda(const std::uint64_t* keys, std::uint32_t* positions, std::size_t size, void* stream_handle) {
  if (size == 0) return {};
  const auto stream = static_cast<cudaStream_t>(stream_handle);
  try {
    const DeviceArray<std::uint64_t> device_keys(size, stream);
    const DeviceArray<std::uint32_t> device_positions(size, stream);
    require(cudaMemcpyAsync(device_keys.data(), keys, size * sizeof(*keys), cudaMemcpyHostToDevice, stream),
            "copying scores to the device");
    StreamAllocator allocator(stream);
    const auto policy = thrust::cuda::par_nosync(allocator).on(stream);
    thrust::sequence(policy, device_positions.data(), device_positions.data() + size);
    thrust::stable_sort_by_key(policy, device_keys.data(), device_keys.data() + size, device_positions.data());
    require(
        cudaMemcpyAsync(positions, device_positions.data(), size * sizeof(*positions), cudaMemcpyDeviceToHost, stream),
        "copying the ranking from the device");
    require(cudaStreamSynchronize(stream), "sorting on the device");
    return {};
  } catch (const std::exception& error) {
    cudaGetLastError();
    return error.what();
  }
}

}  // namespace flowdarts::detail
