#pragma once
// Runs of one method and configuration that differ in their seed: mean and deviation of what they found.

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "run.hpp"

namespace flowdarts::report {

/// Runs that differ in nothing that changes a result but the seed.
struct Group {
  std::string name;  ///< the method; its space, and the options in which groups of it differ, where needed
  std::vector<std::size_t> members;  ///< indices of the runs, in their order
};

/// Every run is in one group; groups are in the order of their first runs. What does not count as a difference is the
/// seed and what a resumed search may change (docs/run-directory.md): where a run lies, where its data lie, device,
/// threads, loader and reader threads, prefetch, read-ahead, checkpoints kept, log level.
std::vector<Group> group_runs(std::span<const Run> runs);

struct MeanDeviation {
  std::size_t count = 0;
  double mean = 0;
  std::optional<double> deviation;  ///< of the sample, sqrt(sum (x - mean)^2 / (n - 1)); none of fewer than two

  /// "93.12 ± 0.30", or the mean alone.
  [[nodiscard]] std::string text(int decimals) const;
};

/// Of at least one value.
MeanDeviation mean_deviation(std::span<const double> values);

}  // namespace flowdarts::report
