#pragma once
// Memory of the host that a GPU copies from while neither waits for the other.

#include <torch/torch.h>

#include <memory_resource>
#include <mutex>
#include <unordered_map>

namespace flowdarts {

/// LibTorch's pinned memory, which it keeps for the next one who asks: taking it from the system makes a device wait.
/// It is handed out again once the copies that LibTorch's operators read it for are done. Needs a GPU. Any number of
/// threads at once.
class PinnedMemory final : public std::pmr::memory_resource {
 private:
  void* do_allocate(std::size_t bytes, std::size_t alignment) override;
  void do_deallocate(void* data, std::size_t bytes, std::size_t alignment) override;
  [[nodiscard]] bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override {
    return this == &other;
  }

  std::mutex mutex_;
  std::unordered_map<void*, torch::Tensor> taken_;
};

}  // namespace flowdarts
