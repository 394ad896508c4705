#pragma once
// How ops are taken out of a supernet by their scores.

#include <algorithm>
#include <cstddef>
#include <flowdarts/spaces/supernet.hpp>
#include <span>
#include <vector>

namespace flowdarts {

/// Whether an op is left: by matrix, row-major.
using OpMasks = std::vector<std::vector<bool>>;
/// Larger is better: by matrix, row-major.
using OpScores = std::vector<std::vector<double>>;

/// Takes out of the ops that `mask` leaves in [first, first + size) the `count` of lowest score; of equal ones that of
/// the lower index goes first.
inline void remove_lowest(std::vector<bool>& mask, std::span<const double> scores, std::size_t first, std::size_t size,
                          std::size_t count) {
  std::vector<std::size_t> left;
  for (std::size_t i = first; i < first + size; ++i) {
    if (mask[i]) left.push_back(i);
  }
  std::ranges::stable_sort(left, {}, [&](std::size_t i) { return scores[i]; });
  for (std::size_t i = 0; i < std::min(count, left.size()); ++i) mask[left[i]] = false;
}

inline std::size_t count_left(const std::vector<bool>& mask, std::size_t first, std::size_t size) {
  const auto begin = mask.begin() + static_cast<std::ptrdiff_t>(first);
  return static_cast<std::size_t>(std::count(begin, begin + static_cast<std::ptrdiff_t>(size), true));
}

/// One of `steps_left` steps towards group.keep ops in every group: takes ceil((ops left - keep) / steps_left) out of
/// each (IS-DARTS' code).
inline void narrow(OpMasks& masks, const OpScores& scores, std::span<const OpGroup> groups,
                   std::span<const ArchShape> shapes, std::int64_t steps_left) {
  for (const OpGroup& group : groups) {
    const auto columns = static_cast<std::size_t>(shapes[group.matrix].columns);
    const std::size_t first = static_cast<std::size_t>(group.first_row) * columns;
    const std::size_t size = static_cast<std::size_t>(group.rows) * columns;
    const std::size_t left = count_left(masks[group.matrix], first, size);
    const auto keep = static_cast<std::size_t>(group.keep);
    if (left <= keep) continue;
    const auto steps = static_cast<std::size_t>(steps_left);
    remove_lowest(masks[group.matrix], scores[group.matrix], first, size, (left - keep + steps - 1) / steps);
  }
}

/// Leaves the `keep` best ops of every row.
inline void keep_best_of_rows(OpMasks& masks, const OpScores& scores, std::span<const ArchShape> shapes,
                              std::int64_t keep) {
  for (std::size_t m = 0; m < masks.size(); ++m) {
    const auto columns = static_cast<std::size_t>(shapes[m].columns);
    for (std::size_t first = 0; first < masks[m].size(); first += columns) {
      const std::size_t left = count_left(masks[m], first, columns);
      const std::size_t surplus = left - std::min(left, static_cast<std::size_t>(keep));
      remove_lowest(masks[m], scores[m], first, columns, surplus);
    }
  }
}

}  // namespace flowdarts
