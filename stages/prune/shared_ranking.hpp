#pragma once
// Ranking of samples by several processes.

#include <cstdint>
#include <flowdarts/stages/prune/sort.hpp>
#include <flowdarts/stages/ranks/communicator.hpp>
#include <span>
#include <vector>

namespace flowdarts {

/// rank() of scores that all processes know: each sorts its share of the positions, and each merges what all have
/// sorted. The same ranking as one process gives, ties included. Collective; throws what rank() throws.
[[nodiscard]] std::vector<std::uint32_t> rank_together(Communicator& communicator, std::span<const double> scores,
                                                       std::span<const std::uint8_t> eligible, SortOrder order,
                                                       Sorter sorter = {});

}  // namespace flowdarts
