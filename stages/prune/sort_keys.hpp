#pragma once
// The back ends of rank(), each in a translation unit of its own: they compile against different systems of Thrust.
// Each sorts `positions` by `keys`, stable, ascending; the keys are spent.

#include <cstddef>
#include <cstdint>
#include <string>

namespace flowdarts::detail {

void sort_keys_serial(std::uint64_t* keys, std::uint32_t* positions, std::size_t size);
void sort_keys_tbb(std::uint64_t* keys, std::uint32_t* positions, std::size_t size);

/// Host memory in and out, the sort on `stream` (a cudaStream_t), which is idle when this returns. Returns what failed,
/// nothing on success.
[[nodiscard]] std::string sort_keys_cuda(std::uint64_t* keys, std::uint32_t* positions, std::size_t size, void* stream);

[[nodiscard]] bool cuda_device_present();

}  // namespace flowdarts::detail
