#pragma once
// One event of bi-level data pruning (BDP): which samples of one split leave, given their scores.
// BDP, Algorithm 1, as docs/methods/bdp-darts.md reads it: counts, balance, caps, ranking, removal.

#include <cstddef>
#include <cstdint>
#include <flowdarts/policies/data_pruning/rule.hpp>
#include <flowdarts/stages/prune/sort.hpp>
#include <span>
#include <vector>

namespace flowdarts {

/// floor(fraction * size), the number of samples a fraction stands for: 0.29 of 100 is 29, although the product of the
/// doubles is 28.999999999999996. Products within a relative 1e-12 below an integer count as that integer.
[[nodiscard]] std::size_t fraction_of(double fraction, std::size_t size);

/// Class-balance degree b in [0, 1]: the mean of min(n_i, n_j) / max(n_i, n_j) over all pairs of classes, 1 when
/// perfectly balanced. A pair (0, 0) counts 1, a pair (0, x) counts 0; fewer than two classes give 1.
[[nodiscard]] double class_balance(std::span<const std::int64_t> counts);

struct PruneEvent {
  std::vector<std::uint32_t> kept;          // positions, ascending
  std::vector<std::uint32_t> removed;       // positions, in order of removal: the most extreme score first
  std::vector<std::int64_t> class_counts;   // [classes] before the event
  std::vector<std::int64_t> class_caps;     // [classes] q_c = floor(n_c / N), the most a class may lose
  std::vector<std::int64_t> class_removed;  // [classes]
  double balance = 1;                       // b before the event
  double divisor = 1;                       // N = n (1 - b^2) + 1
  std::size_t target = 0;                   // k = floor(p * size): the most that may be removed
  std::size_t floored_classes = 0;          // classes whose cap keep_one lowered
};

/// One event for a split of `labels.size()` samples in ascending order of id. `labels` int32 in [0, classes), `scores`
/// one a sample (VoE), `eligible` one flag a sample or none: all are eligible; samples that are not stay, but count in
/// the set's size and its class counts. `classes` is the data set's number of classes, also when some have no sample
/// left. InputError for an option or a label out of range, RunError as rank().
[[nodiscard]] PruneEvent prune(std::span<const std::int32_t> labels, std::span<const double> scores,
                               std::span<const std::uint8_t> eligible, std::int64_t classes, const PruneRule& rule,
                               Sorter sorter = {});

/// The order in which a rule ranks scores, the first to leave first.
[[nodiscard]] SortOrder order_of(const PruneRule& rule);

/// The same event for a ranking that is known: rank() of the scores in order_of(rule).
[[nodiscard]] PruneEvent prune(std::span<const std::int32_t> labels, std::span<const std::uint32_t> ranking,
                               std::int64_t classes, const PruneRule& rule);

}  // namespace flowdarts
