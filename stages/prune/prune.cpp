#include <algorithm>
#include <cmath>
#include <flowdarts/spaces/support/error.hpp>
#include <flowdarts/stages/prune/prune.hpp>
#include <numeric>
#include <stdexcept>
#include <string>

namespace flowdarts {
namespace {

void check(const PruneRule& rule) {
  if (!(rule.ratio >= 0 && rule.ratio < 1)) {
    throw InputError("pruning ratio: found " + std::to_string(rule.ratio) + ", expected a number in [0, 1)");
  }
  if (rule.events < 1) {
    throw InputError("number of pruning events: found " + std::to_string(rule.events) + ", expected at least 1");
  }
}

std::vector<std::int64_t> count_classes(std::span<const std::int32_t> labels, std::int64_t classes) {
  if (classes < 1) {
    throw InputError("number of classes: found " + std::to_string(classes) + ", expected at least 1");
  }
  std::vector<std::int64_t> counts(static_cast<std::size_t>(classes));
  for (std::size_t i = 0; i < labels.size(); ++i) {
    if (labels[i] < 0 || labels[i] >= classes) {
      throw InputError("label of sample at position " + std::to_string(i) + ": found " + std::to_string(labels[i]) +
                       ", expected 0 to " + std::to_string(classes - 1));
    }
    ++counts[static_cast<std::size_t>(labels[i])];
  }
  return counts;
}

}  // namespace

std::size_t fraction_of(double fraction, std::size_t size) {
  return static_cast<std::size_t>(std::floor(fraction * static_cast<double>(size) * (1 + 1e-12)));
}

double class_balance(std::span<const std::int64_t> counts) {
  if (counts.size() < 2) return 1;
  // With counts ascending, class j is the larger of its pairs with all classes before it: their sum of ratios is the
  // (exact) sum of those counts divided by n_j. Equal counts give exactly 1.
  std::vector<std::int64_t> sorted(counts.begin(), counts.end());
  std::ranges::sort(sorted);
  double ratios = 0;
  std::int64_t smaller = 0;
  for (std::size_t j = 0; j < sorted.size(); ++j) {
    ratios += sorted[j] == 0 ? static_cast<double>(j) : static_cast<double>(smaller) / static_cast<double>(sorted[j]);
    smaller += sorted[j];
  }
  const auto classes = static_cast<double>(counts.size());
  return ratios / (classes * (classes - 1) / 2);
}

SortOrder order_of(const PruneRule& rule) {
  return rule.criterion == Criterion::low ? SortOrder::ascending : SortOrder::descending;
}

PruneEvent prune(std::span<const std::int32_t> labels, std::span<const double> scores,
                 std::span<const std::uint8_t> eligible, std::int64_t classes, const PruneRule& rule, Sorter sorter) {
  if (labels.size() != scores.size()) throw std::invalid_argument("prune: as many labels as scores expected");
  return prune(labels, rank(scores, eligible, order_of(rule), sorter), classes, rule);
}

PruneEvent prune(std::span<const std::int32_t> labels, std::span<const std::uint32_t> ranking, std::int64_t classes,
                 const PruneRule& rule) {
  check(rule);

  PruneEvent event;
  event.class_counts = count_classes(labels, classes);
  event.balance = class_balance(event.class_counts);
  event.divisor = static_cast<double>(rule.events) * (1 - event.balance * event.balance) + 1;
  event.class_caps = event.class_counts;
  for (std::size_t c = 0; c < event.class_caps.size(); ++c) {
    const std::int64_t count = event.class_counts[c];
    std::int64_t& cap = event.class_caps[c];
    if (rule.balance) {
      cap = static_cast<std::int64_t>(std::floor(static_cast<double>(count) / event.divisor + 1e-9));
    }
    if (rule.keep_one && count > 0 && cap == count) {
      --cap;
      ++event.floored_classes;
    }
  }
  event.target = fraction_of(rule.ratio, labels.size());

  std::span<const std::uint32_t> candidates = ranking;
  if (!rule.refill) candidates = candidates.first(std::min(event.target, candidates.size()));
  event.class_removed.resize(event.class_caps.size());
  const std::size_t reachable =
      std::min(event.target, static_cast<std::size_t>(std::reduce(event.class_caps.begin(), event.class_caps.end())));
  event.removed.reserve(reachable);
  std::vector<std::uint8_t> leaves(labels.size());
  for (const std::uint32_t position : candidates) {
    if (event.removed.size() == reachable) break;
    const auto c = static_cast<std::size_t>(labels[position]);
    if (event.class_removed[c] == event.class_caps[c]) continue;
    ++event.class_removed[c];
    event.removed.push_back(position);
    leaves[position] = 1;
  }
  event.kept.reserve(labels.size() - event.removed.size());
  for (std::uint32_t position = 0; position < labels.size(); ++position) {
    if (leaves[position] == 0) event.kept.push_back(position);
  }
  return event;
}

}  // namespace flowdarts
