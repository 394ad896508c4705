#pragma once
// What a data-pruning policy asks of the pruning stage.

#include <array>
#include <cstdint>
#include <string_view>
#include <utility>

namespace flowdarts {

/// Which end of a ranking is removed.
enum class Criterion : std::uint8_t { low, high };

constexpr std::array<std::pair<Criterion, std::string_view>, 2> names_of(Criterion) {
  return {{{Criterion::low, "low"}, {Criterion::high, "high"}}};
}

/// One pruning event of one split (BDP, Algorithm 1; docs/methods/bdp-darts.md).
struct PruneRule {
  double ratio = 0;                      ///< p: the part of the current set to remove, in [0, 1)
  std::int64_t events = 1;               ///< n: nominal number of events in the whole search, floor(E / W), >= 1
  Criterion criterion = Criterion::low;  ///< T loses the lowest scores, V the highest
  bool balance = true;                   ///< class caps; off: a class may lose all its samples
  bool refill = true;     ///< pass over samples of full classes; off: take the k extreme samples, then give back what
                          ///< exceeds the caps, least extreme first
  bool keep_one = false;  ///< no class loses its last sample
};

}  // namespace flowdarts
