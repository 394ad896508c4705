#include <algorithm>
#include <cstring>
#include <flowdarts/stages/prune/shared_ranking.hpp>
#include <flowdarts/stages/ranks/share.hpp>

namespace flowdarts {
namespace {

/// Merges sorted runs, neighbours first, until one is left. `bounds`: where runs begin, and the end. Of equal elements
/// those of the run before come first.
template <class Less>
void merge_runs(std::vector<std::uint32_t>& values, std::vector<std::size_t> bounds, const Less& less) {
  while (bounds.size() > 2) {
    std::vector<std::size_t> merged{0};
    for (std::size_t run = 0; run + 1 < bounds.size(); run += 2) {
      const std::size_t end = bounds[std::min(run + 2, bounds.size() - 1)];
      const auto at = [&](std::size_t place) { return values.begin() + static_cast<std::ptrdiff_t>(place); };
      std::inplace_merge(at(bounds[run]), at(bounds[run + 1]), at(end), less);
      merged.push_back(end);
    }
    bounds = std::move(merged);
  }
}

}  // namespace

std::vector<std::uint32_t> rank_together(Communicator& communicator, std::span<const double> scores,
                                         std::span<const std::uint8_t> eligible, SortOrder order, Sorter sorter) {
  const Share share = share_of(scores.size(), communicator.rank(), communicator.size());
  if (share.everything) return rank(scores, eligible, order, sorter);
  std::vector<std::uint32_t> own =
      rank(scores.subspan(share.begin, share.size()),
           eligible.empty() ? eligible : eligible.subspan(share.begin, share.size()), order, sorter);
  for (std::uint32_t& position : own) position += static_cast<std::uint32_t>(share.begin);

  std::vector<std::uint32_t> all;
  std::vector<std::size_t> bounds{0};
  for (const std::vector<std::byte>& run : communicator.gather(std::as_bytes(std::span(own)))) {
    const std::size_t count = run.size() / sizeof(std::uint32_t);
    all.resize(all.size() + count);
    if (count > 0) std::memcpy(all.data() + bounds.back(), run.data(), run.size());
    bounds.push_back(all.size());
  }
  // Shares follow one another, so equal scores stay in the order of their positions.
  const auto before = [&](std::uint32_t a, std::uint32_t b) {
    return order == SortOrder::ascending ? scores[a] < scores[b] : scores[a] > scores[b];
  };
  merge_runs(all, std::move(bounds), before);
  return all;
}

}  // namespace flowdarts
