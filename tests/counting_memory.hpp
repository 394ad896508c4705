#pragma once

#include <atomic>
#include <memory_resource>

namespace flowdarts::testing {

/// Memory that counts how often it was asked.
class CountingMemory final : public std::pmr::memory_resource {
 public:
  [[nodiscard]] int taken() const { return taken_; }
  [[nodiscard]] int given_back() const { return given_back_; }

 private:
  void* do_allocate(std::size_t bytes, std::size_t alignment) override {
    ++taken_;
    return std::pmr::new_delete_resource()->allocate(bytes, alignment);
  }
  void do_deallocate(void* data, std::size_t bytes, std::size_t alignment) override {
    ++given_back_;
    std::pmr::new_delete_resource()->deallocate(data, bytes, alignment);
  }
  [[nodiscard]] bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override {
    return this == &other;
  }

  std::atomic<int> taken_{0}, given_back_{0};
};

}  // namespace flowdarts::testing
