#pragma once
// Cuts made once, before a search: by a given score (EL2N), or at random.

#include <cstdint>
#include <flowdarts/spaces/support/split.hpp>
#include <flowdarts/stages/prune/prune.hpp>
#include <span>
#include <vector>

namespace flowdarts {

/// Drops floor(fraction * size) samples of one set, those with the lowest or the highest scores, ties by position
/// (BDP, Table 2; docs/methods/one-shot-el2n.md). Returns the kept positions, ascending. InputError if the fraction is
/// not in [0, 1), RunError as rank().
[[nodiscard]] std::vector<std::uint32_t> one_shot_cut(std::span<const double> scores, double fraction,
                                                      Criterion criterion, Sorter sorter = {});

/// A random subset of floor(keep * size) of the given ids, in their order. Each id draws its own number from
/// Stream::subset, and the smallest numbers stay: subsets of the same seed and split are nested, a smaller `keep` in a
/// larger one. InputError if `keep` is not in [0, 1].
[[nodiscard]] std::vector<std::int64_t> random_subset(std::span<const std::int64_t> ids, double keep,
                                                      std::uint64_t seed, Split split);

}  // namespace flowdarts
