#pragma once
// What ranking on a GPU needs besides the scores.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace flowdarts {

/// Sorts on a GPU, on a stream of its own and through pinned memory. Any thread may use it, one at a time.
class DeviceSorter {
 public:
  DeviceSorter() = default;
  DeviceSorter(const DeviceSorter&) = delete;
  DeviceSorter& operator=(const DeviceSorter&) = delete;
  virtual ~DeviceSorter() = default;

  /// To be filled before sort(): as many as it was made for.
  [[nodiscard]] virtual std::span<std::uint64_t> keys() = 0;

  /// The positions of the first `size` keys in ascending order of key, equal keys in order of position; good until the
  /// next call. The calling thread sleeps until they are there; other threads and streams go on. Throws RunError on a
  /// CUDA failure.
  [[nodiscard]] virtual std::span<const std::uint32_t> sort(std::size_t size) = 0;
};

/// For up to `capacity` keys, on the current device, which as a whole has to wait while pinned memory is taken: made
/// once, ahead of the work. Throws RunError on a CUDA failure and where the back end `cuda` is not available.
[[nodiscard]] std::unique_ptr<DeviceSorter> make_device_sorter(std::size_t capacity);

}  // namespace flowdarts
