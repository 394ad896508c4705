#pragma once
// What the processes of one search exchange in the memory of their hosts.

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace flowdarts {

/// A number of processes, the ranks 0 .. size() - 1, that make the same calls in the same order. Every call below is
/// collective: it returns once all ranks have made it. Used by one thread at a time.
class Communicator {
 public:
  Communicator() = default;
  Communicator(const Communicator&) = delete;
  Communicator& operator=(const Communicator&) = delete;
  virtual ~Communicator() = default;

  [[nodiscard]] virtual int rank() const = 0;
  [[nodiscard]] virtual int size() const = 0;

  /// Replaces the values by their sums over all ranks, the same bits in each. As many values in each rank.
  virtual void add_up(std::span<float> values) = 0;
  virtual void add_up(std::span<double> values) = 0;

  /// The bytes of every rank, by rank.
  [[nodiscard]] virtual std::vector<std::vector<std::byte>> gather(std::span<const std::byte> own) = 0;

  /// Calls of add_up() and gather() so far, and the bytes that this rank put into them.
  struct Traffic {
    std::int64_t messages = 0;
    std::int64_t bytes = 0;
  };
  [[nodiscard]] virtual Traffic traffic() const = 0;
};

}  // namespace flowdarts
