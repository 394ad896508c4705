#include <algorithm>
#include <cmath>
#include <flowdarts/spaces/support/error.hpp>
#include <flowdarts/spaces/support/random.hpp>
#include <flowdarts/stages/load/split.hpp>
#include <string>

namespace flowdarts {
namespace {

void check_portion(double portion) {
  if (!(portion > 0.0 && portion < 1.0)) {
    throw InputError("split portion " + std::to_string(portion) + ", expected more than 0 and less than 1");
  }
}

void check_parts(const SplitLists& lists, double portion, const std::string& of_what) {
  if (lists.train.empty() || lists.val.empty()) {
    throw InputError("split portion " + std::to_string(portion) + " of " +
                     std::to_string(lists.train.size() + lists.val.size()) + of_what +
                     " leaves one part empty, expected at least one sample in each");
  }
}

// Each class's ids in a random order of its own.
std::vector<std::vector<std::int64_t>> shuffled_classes(std::span<const std::int64_t> ids,
                                                        std::span<const std::int32_t> labels, std::int32_t classes,
                                                        std::uint64_t seed, Stream stream) {
  std::vector<std::vector<std::int64_t>> members(static_cast<std::size_t>(classes));
  for (const std::int64_t id : ids) {
    members[static_cast<std::size_t>(labels[static_cast<std::size_t>(id)])].push_back(id);
  }
  for (std::size_t c = 0; c < members.size(); ++c) {
    CounterRng(seed, stream, 0, 0, c).shuffle(std::span(members[c]));
  }
  return members;
}

}  // namespace

SplitLists canonical_split(std::span<const std::int64_t> ids, double portion) {
  check_portion(portion);
  const auto cut = static_cast<std::size_t>(std::llround(portion * static_cast<double>(ids.size())));
  const auto first = ids.first(cut), rest = ids.subspan(cut);
  SplitLists lists{{first.begin(), first.end()}, {rest.begin(), rest.end()}};
  check_parts(lists, portion, " samples");
  return lists;
}

SplitLists stratified_split(std::span<const std::int64_t> ids, std::span<const std::int32_t> labels,
                            std::int32_t classes, double portion, std::uint64_t seed) {
  check_portion(portion);
  SplitLists lists;
  for (const std::vector<std::int64_t>& members : shuffled_classes(ids, labels, classes, seed, Stream::split)) {
    const auto cut = members.begin() + std::llround(portion * static_cast<double>(members.size()));
    lists.train.insert(lists.train.end(), members.begin(), cut);
    lists.val.insert(lists.val.end(), cut, members.end());
  }
  std::ranges::sort(lists.train);
  std::ranges::sort(lists.val);
  check_parts(lists, portion, " samples, each class divided by itself,");
  return lists;
}

SplitLists stratified_parts(std::span<const std::int64_t> ids, std::span<const std::int32_t> labels,
                            std::int32_t classes, double train, double val, std::uint64_t seed) {
  // A sum of two decimal fractions may be above 1 by rounding.
  if (!(train > 0.0 && val > 0.0 && train + val <= 1.0 + 1e-9)) {
    throw InputError("split portions " + std::to_string(train) + " and " + std::to_string(val) +
                     ", expected both above 0 and together at most 1");
  }
  SplitLists lists;
  const auto all = shuffled_classes(ids, labels, classes, seed, Stream::split);
  for (std::size_t c = 0; c < all.size(); ++c) {
    const auto size = static_cast<std::int64_t>(all[c].size());
    const std::int64_t train_size = std::llround(train * static_cast<double>(size));
    const std::int64_t val_size =
        std::min<std::int64_t>(std::llround(val * static_cast<double>(size)), size - train_size);
    if (train_size < 1 || val_size < 1) {
      throw InputError("split portions " + std::to_string(train) + " and " + std::to_string(val) + " of the " +
                       std::to_string(size) + " samples of class " + std::to_string(c) +
                       " leave one part without any, expected at least one of each class in each");
    }
    lists.train.insert(lists.train.end(), all[c].begin(), all[c].begin() + train_size);
    lists.val.insert(lists.val.end(), all[c].begin() + train_size, all[c].begin() + train_size + val_size);
  }
  std::ranges::sort(lists.train);
  std::ranges::sort(lists.val);
  return lists;
}

std::vector<std::int64_t> limit_samples(std::span<const std::int64_t> ids, std::span<const std::int32_t> labels,
                                        std::int32_t classes, std::int64_t n, std::uint64_t seed) {
  if (n < 1) throw InputError("limit of " + std::to_string(n) + " samples, expected at least 1");
  const auto limit = std::min(static_cast<std::size_t>(n), ids.size());
  const auto members = shuffled_classes(ids, labels, classes, seed, Stream::subset);
  std::vector<std::int64_t> kept;
  kept.reserve(limit);
  // Round r takes the r-th sample of each class.
  for (std::size_t round = 0; kept.size() < limit; ++round) {
    for (const std::vector<std::int64_t>& of_class : members) {
      if (round < of_class.size() && kept.size() < limit) kept.push_back(of_class[round]);
    }
  }
  std::ranges::sort(kept);
  return kept;
}

}  // namespace flowdarts
