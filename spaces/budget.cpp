#include <algorithm>
#include <flowdarts/spaces/budget.hpp>
#include <limits>
#include <map>

namespace flowdarts {
namespace {

/// Choices of the first groups.
struct Partial {
  NetworkCost cost;
  double score;
  std::size_t before, choice;  // which of the group before it goes on, and how
};

NetworkCost least_of(const std::vector<Choice>& group) {
  constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max();
  NetworkCost least{most, most};
  for (const Choice& choice : group) {
    least.params = std::min(least.params, choice.cost.params);
    least.macs = std::min(least.macs, choice.cost.macs);
  }
  return least;
}

/// Leaves out what another one beats or equals in cost and score: whatever follows, that one is as good.
void drop_beaten(std::vector<Partial>& partials) {
  std::ranges::stable_sort(partials, [](const Partial& a, const Partial& b) {
    if (a.cost.params != b.cost.params) return a.cost.params < b.cost.params;
    if (a.cost.macs != b.cost.macs) return a.cost.macs < b.cost.macs;
    return a.score > b.score;
  });
  std::map<std::int64_t, double> best;  // MACs -> the best score of no more: both rise
  std::erase_if(partials, [&](const Partial& own) {
    const auto above = best.upper_bound(own.cost.macs);
    if (above != best.begin() && std::prev(above)->second >= own.score) return true;
    auto stale = best.lower_bound(own.cost.macs);
    while (stale != best.end() && stale->second <= own.score) stale = best.erase(stale);
    best[own.cost.macs] = own.score;
    return false;
  });
}

}  // namespace

std::optional<std::vector<std::size_t>> best_within(std::span<const std::vector<Choice>> groups,
                                                    const NetworkCost& fixed, const Budget& budget) {
  // What nobody limits does not tell choices apart.
  const auto counted = [&](const NetworkCost& cost) {
    return NetworkCost{budget.max_params > 0 ? cost.params : 0, budget.max_macs > 0 ? cost.macs : 0};
  };
  // What the groups after each one cost at least.
  std::vector<NetworkCost> rest(groups.size() + 1);
  for (std::size_t g = groups.size(); g-- > 0;) rest[g] = rest[g + 1] + least_of(groups[g]);
  std::vector<std::vector<Partial>> levels{{{counted(fixed), 0.0, 0, 0}}};
  for (std::size_t g = 0; g < groups.size(); ++g) {
    std::vector<Partial> next;
    for (std::size_t before = 0; before < levels.back().size(); ++before) {
      const Partial& partial = levels.back()[before];
      for (std::size_t c = 0; c < groups[g].size(); ++c) {
        const Choice& choice = groups[g][c];
        const NetworkCost cost = partial.cost + counted(choice.cost);
        if (choice.score == -std::numeric_limits<double>::infinity()) continue;
        if (!budget.holds(cost + counted(rest[g + 1]))) continue;
        next.push_back({cost, partial.score + choice.score, before, c});
      }
    }
    drop_beaten(next);
    levels.push_back(std::move(next));
  }
  const auto best = std::ranges::max_element(levels.back(), {}, &Partial::score);
  if (best == levels.back().end()) return std::nullopt;
  std::vector<std::size_t> choices(groups.size());
  auto at = static_cast<std::size_t>(best - levels.back().begin());
  for (std::size_t g = groups.size(); g-- > 0;) {
    const Partial& partial = levels[g + 1][at];
    choices[g] = partial.choice;
    at = partial.before;
  }
  return choices;
}

NetworkCost least_cost(std::span<const std::vector<Choice>> groups, const NetworkCost& fixed) {
  NetworkCost least = fixed;
  for (const std::vector<Choice>& group : groups) least += least_of(group);
  return least;
}

}  // namespace flowdarts
