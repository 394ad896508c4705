#include <cuda_runtime.h>
#include <thrust/sequence.h>
#include <thrust/sort.h>
#include <thrust/system/cuda/execution_policy.h>

#include <exception>
#include <flowdarts/spaces/support/error.hpp>
#include <flowdarts/stages/prune/device_sorter.hpp>
#include <flowdarts/stages/prune/sort_keys.hpp>
#include <stdexcept>
#include <string>

namespace flowdarts {
namespace {

void require(cudaError_t status, const char* action) {
  if (status == cudaSuccess) return;
  cudaGetLastError();  // leaves no error behind for the next one who asks
  throw RunError("sort back end cuda: " + std::string(action) + ": " + cudaGetErrorString(status));
}

/// Makes a device the thread's current one.
class CurrentDevice {
 public:
  explicit CurrentDevice(int device) {
    require(cudaGetDevice(&before_), "finding the current device");
    require(cudaSetDevice(device), "choosing the device");
  }
  ~CurrentDevice() { cudaSetDevice(before_); }
  CurrentDevice(const CurrentDevice&) = delete;
  CurrentDevice& operator=(const CurrentDevice&) = delete;

 private:
  int before_ = 0;
};

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

class CudaSorter final : public DeviceSorter {
 public:
  explicit CudaSorter(std::size_t capacity) : capacity_(capacity) {
    try {
      open();
    } catch (...) {
      close();
      throw;
    }
  }
  ~CudaSorter() override { close(); }
  CudaSorter(const CudaSorter&) = delete;
  CudaSorter& operator=(const CudaSorter&) = delete;

  [[nodiscard]] std::span<std::uint64_t> keys() override { return {keys_, capacity_}; }

  [[nodiscard]] std::span<const std::uint32_t> sort(std::size_t size) override {
    if (size > capacity_) throw std::length_error("DeviceSorter: more keys than it was made for");
    if (size == 0) return {};
    try {
      enqueue(size);
      require(cudaEventSynchronize(sorted_), "sorting on the device");
    } catch (const RunError&) {
      throw;
    } catch (const std::exception& error) {  // Thrust's
      cudaGetLastError();
      throw RunError("sort back end cuda: " + std::string(error.what()));
    }
    return {positions_, size};
  }

 private:
  void open() {
    require(cudaGetDevice(&device_), "finding the current device");
    int least = 0, greatest = 0;
    require(cudaDeviceGetStreamPriorityRange(&least, &greatest), "asking for priorities");
    // A search waits for its ranking, so it comes before what else the device has to do. Non-blocking: neither waits
    // for the default stream, which LibTorch works on, nor that for it.
    require(cudaStreamCreateWithPriority(&stream_, cudaStreamNonBlocking, greatest), "creating a stream");
    require(cudaEventCreateWithFlags(&sorted_, cudaEventBlockingSync | cudaEventDisableTiming), "creating an event");
    if (capacity_ == 0) return;
    require(cudaMallocHost(reinterpret_cast<void**>(&keys_), capacity_ * sizeof(*keys_)), "taking pinned memory");
    require(cudaMallocHost(reinterpret_cast<void**>(&positions_), capacity_ * sizeof(*positions_)),
            "taking pinned memory");
  }

  void close() {
    cudaFreeHost(keys_);
    cudaFreeHost(positions_);
    if (sorted_ != nullptr) cudaEventDestroy(sorted_);
    if (stream_ != nullptr) cudaStreamDestroy(stream_);
  }

  void enqueue(std::size_t size) {
    const CurrentDevice device(device_);
    const DeviceArray<std::uint64_t> keys(size, stream_);
    const DeviceArray<std::uint32_t> positions(size, stream_);
    require(cudaMemcpyAsync(keys.data(), keys_, size * sizeof(*keys_), cudaMemcpyHostToDevice, stream_),
            "copying scores to the device");
    StreamAllocator allocator(stream_);
    const auto policy = thrust::cuda::par_nosync(allocator).on(stream_);
    thrust::sequence(policy, positions.data(), positions.data() + size);
    thrust::stable_sort_by_key(policy, keys.data(), keys.data() + size, positions.data());
    require(cudaMemcpyAsync(positions_, positions.data(), size * sizeof(*positions_), cudaMemcpyDeviceToHost, stream_),
            "copying the ranking from the device");
    require(cudaEventRecord(sorted_, stream_), "recording an event");
  }

  std::size_t capacity_;
  int device_ = 0;
  cudaStream_t stream_ = nullptr;
  cudaEvent_t sorted_ = nullptr;
  std::uint64_t* keys_ = nullptr;
  std::uint32_t* positions_ = nullptr;
};

}  // namespace

namespace detail {

bool cuda_device_present() {
  int devices = 0;
  const bool present = cudaGetDeviceCount(&devices) == cudaSuccess && devices > 0;
  if (!present) cudaGetLastError();  // leaves no error behind for the next one who asks
  return present;
}

}  // namespace detail

std::unique_ptr<DeviceSorter> make_device_sorter(std::size_t capacity) {
  return std::make_unique<CudaSorter>(capacity);
}

}  // namespace flowdarts
