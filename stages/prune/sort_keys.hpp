#pragma once
// The back ends of rank(), each in a translation unit of its own: they compile against different systems of Thrust.
// Each writes to `positions` the positions of all `size` keys in ascending order of key, equal keys in order of
// position.

#include <cstddef>
#include <cstdint>
#include <string>

namespace flowdarts::detail {

void sort_keys_serial(const std::uint64_t* keys, std::uint32_t* positions, std::size_t size);

/// Spends the keys: they come back sorted.
void sort_keys_tbb(std::uint64_t* keys, std::uint32_t* positions, std::size_t size);

/// Keys and positions in host memory, the sort on `stream` (a cudaStream_t), which is idle when this returns. Returns
/// what failed, nothing on success.
[[nodiscard]] std::string sort_keys_cuda(const std::uint64_t* keys, std::uint32_t* positions, std::size_t size,
                                         void* stream);

[[nodiscard]] bool cuda_device_present();

}  // namespace flowdarts::detail
