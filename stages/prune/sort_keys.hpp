#pragma once
// The back ends of rank() on a CPU (DeviceSorter is the one on a GPU), each in a translation unit of its own: they
// compile against different systems of Thrust. Each writes to `positions` the positions of all `size` keys in ascending
// order of key, equal keys in order of position.

#include <cstddef>
#include <cstdint>

namespace flowdarts::detail {

void sort_keys_serial(const std::uint64_t* keys, std::uint32_t* positions, std::size_t size);

/// Spends the keys: they come back sorted.
void sort_keys_tbb(std::uint64_t* keys, std::uint32_t* positions, std::size_t size);

[[nodiscard]] bool cuda_device_present();

}  // namespace flowdarts::detail
