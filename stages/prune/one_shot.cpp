#include <algorithm>
#include <flowdarts/spaces/support/error.hpp>
#include <flowdarts/spaces/support/random.hpp>
#include <flowdarts/stages/prune/one_shot.hpp>
#include <string>

namespace flowdarts {

std::vector<std::uint32_t> one_shot_cut(std::span<const double> scores, double fraction, Criterion criterion,
                                        Sorter sorter) {
  // A data set of one class: its balance is 1, its cap the whole set.
  const std::vector<std::int32_t> one_class(scores.size());
  return prune(one_class, scores, {}, 1, {.ratio = fraction, .criterion = criterion}, sorter).kept;
}

std::vector<std::int64_t> random_subset(std::span<const std::int64_t> ids, double keep, std::uint64_t seed,
                                        Split split) {
  if (!(keep >= 0 && keep <= 1)) {
    throw InputError("fraction of a random subset: found " + std::to_string(keep) + ", expected a number in [0, 1]");
  }
  std::vector<double> draws(ids.size());
  std::ranges::transform(ids, draws.begin(), [&](std::int64_t id) {
    return CounterRng(seed, Stream::subset, static_cast<std::uint32_t>(split), 0, static_cast<std::uint64_t>(id))
        .uniform();
  });
  auto positions = rank(draws, {}, SortOrder::ascending);
  positions.resize(fraction_of(keep, ids.size()));
  std::ranges::sort(positions);
  std::vector<std::int64_t> subset(positions.size());
  std::ranges::transform(positions, subset.begin(), [&](std::uint32_t position) { return ids[position]; });
  return subset;
}

}  // namespace flowdarts
