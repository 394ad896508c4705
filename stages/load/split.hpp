#pragma once
// Which samples train w (T), which train alpha (V).

#include <cstdint>
#include <span>
#include <vector>

namespace flowdarts {

/// Disjoint lists of sample ids, both ascending and not empty.
struct SplitLists {
  std::vector<std::int64_t> train, val;
};

/// DARTS' split: the first round(portion * n) of the ids are T, the rest V. `ids` must be ascending.
/// Throws InputError unless 0 < portion < 1 and both parts get a sample.
[[nodiscard]] SplitLists canonical_split(std::span<const std::int64_t> ids, double portion);

/// For sets stored class by class: of each class a random round(portion * n_c) are T, the rest V. `labels[id]` is a
/// sample's class in [0, classes). Throws as canonical_split.
[[nodiscard]] SplitLists stratified_split(std::span<const std::int64_t> ids, std::span<const std::int32_t> labels,
                                          std::int32_t classes, double portion, std::uint64_t seed);

/// Smaller parts: of each class a random round(train * n_c) are T and as many of the others as round(val * n_c), or all
/// of them, V. Throws InputError unless both portions are above 0 and together at most 1, and where a class has no
/// sample in one of the parts.
[[nodiscard]] SplitLists stratified_parts(std::span<const std::int64_t> ids, std::span<const std::int32_t> labels,
                                          std::int32_t classes, double train, double val, std::uint64_t seed);

/// A random subset of n ids, ascending, with as equal class sizes as there are: every class gets the same number, those
/// with fewer all they have, and what remains of n goes to the lowest classes that still have some. All ids if n is at
/// least their number. Throws InputError if n < 1.
[[nodiscard]] std::vector<std::int64_t> limit_samples(std::span<const std::int64_t> ids,
                                                      std::span<const std::int32_t> labels, std::int32_t classes,
                                                      std::int64_t n, std::uint64_t seed);

}  // namespace flowdarts
