#pragma once
// What part of a batch, or of any list, a rank works on.

#include <cstddef>
#include <cstdint>
#include <span>

namespace flowdarts {

/// A rank's part of `size` things: [begin, end). Parts follow one another in the order of the ranks and differ in size
/// by one at most. Of fewer things than ranks each rank has all: no rank is left without.
struct Share {
  std::size_t begin = 0;
  std::size_t end = 0;
  bool everything = false;  ///< each rank has all of them

  [[nodiscard]] std::size_t size() const { return end - begin; }
};

constexpr Share share_of(std::size_t size, int rank, int ranks) {
  const auto r = static_cast<std::size_t>(rank), n = static_cast<std::size_t>(ranks);
  if (size < n) return {0, size, true};
  return {size * r / n, size * (r + 1) / n, false};
}

}  // namespace flowdarts
