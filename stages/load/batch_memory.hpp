#pragma once
// Where the arrays of a batch live.

#include <cstddef>
#include <memory_resource>
#include <new>
#include <type_traits>
#include <utility>
#include <vector>

namespace flowdarts {

/// Takes memory from a std::pmr::memory_resource, which must outlive all that is taken from it. Unlike
/// std::pmr::polymorphic_allocator it goes along when a vector is moved, so that nothing is copied out of pinned memory
/// on the way.
template <class T>
class BatchAllocator {
 public:
  using value_type = T;
  using propagate_on_container_move_assignment = std::true_type;
  using propagate_on_container_swap = std::true_type;

  BatchAllocator() : memory_(std::pmr::new_delete_resource()) {}
  BatchAllocator(std::pmr::memory_resource* memory) : memory_(memory) {}  // NOLINT(google-explicit-constructor)
  template <class U>
  BatchAllocator(const BatchAllocator<U>& other) : memory_(other.memory()) {}  // NOLINT(google-explicit-constructor)

  [[nodiscard]] T* allocate(std::size_t count) {
    return static_cast<T*>(memory_->allocate(count * sizeof(T), alignof(T)));
  }
  void deallocate(T* data, std::size_t count) { memory_->deallocate(data, count * sizeof(T), alignof(T)); }

  /// Elements made without a value have none: pixels are written once.
  template <class U>
  void construct(U* element) {
    ::new (static_cast<void*>(element)) U;
  }
  template <class U, class... Arguments>
  void construct(U* element, Arguments&&... arguments) {
    ::new (static_cast<void*>(element)) U(std::forward<Arguments>(arguments)...);
  }

  [[nodiscard]] std::pmr::memory_resource* memory() const { return memory_; }
  template <class U>
  bool operator==(const BatchAllocator<U>& other) const {
    return memory_ == other.memory();
  }

 private:
  std::pmr::memory_resource* memory_;
};

template <class T>
using BatchArray = std::vector<T, BatchAllocator<T>>;

}  // namespace flowdarts
