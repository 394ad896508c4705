#include <algorithm>
#include <cstdint>
#include <flowdarts/stages/load/pinned_memory.hpp>

namespace flowdarts {

// Pages are aligned to more than any type asks for.
void* PinnedMemory::do_allocate(std::size_t bytes, std::size_t /* alignment */) {
  // An empty tensor would have no address.
  const auto size = static_cast<std::int64_t>(std::max<std::size_t>(bytes, 1));
  torch::Tensor tensor = torch::empty({size}, torch::TensorOptions(torch::kByte).pinned_memory(true));
  void* data = tensor.mutable_data_ptr();
  const std::lock_guard lock(mutex_);
  taken_.emplace(data, std::move(tensor));
  return data;
}

void PinnedMemory::do_deallocate(void* data, std::size_t /* bytes */, std::size_t /* alignment */) {
  const std::lock_guard lock(mutex_);
  taken_.erase(data);
}

}  // namespace flowdarts
