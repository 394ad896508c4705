#include <flowdarts/spaces/mobilenet/budget.hpp>

namespace flowdarts::mobilenet {
namespace {

NetworkCost cost_of(const Genotype& genotype, const NetworkShape& shape) {
  const NetworkCounts counts = count_network(genotype, shape);
  return {counts.params, counts.macs};
}

/// Layers add to the cost of the chain of k3e3 alone one by one. scores: empty, or those of the choices.
std::vector<std::vector<Choice>> choices_of(const std::vector<std::vector<double>>& scores, const NetworkShape& shape) {
  const NetworkCost plain = cost_of({}, shape);
  std::vector<std::vector<Choice>> groups(layer_count);
  for (int layer = 0; layer < layer_count; ++layer) {
    const auto l = static_cast<std::size_t>(layer);
    for (int op = 0; op < columns_of(layer); ++op) {
      Genotype other;
      other.ops[l] = static_cast<Op>(op);
      groups[l].push_back(
          {scores.empty() ? 0.0 : scores[l][static_cast<std::size_t>(op)], cost_of(other, shape) - plain});
    }
  }
  return groups;
}

}  // namespace

std::optional<Genotype> derive_within(const std::vector<std::vector<double>>& scores, const Budget& budget,
                                      const NetworkShape& shape) {
  Genotype genotype = derive(scores);
  if (budget.holds(cost_of(genotype, shape))) return genotype;
  const auto places = best_within(choices_of(scores, shape), cost_of({}, shape), budget);
  if (!places) return std::nullopt;
  for (std::size_t layer = 0; layer < genotype.ops.size(); ++layer) {
    genotype.ops[layer] = static_cast<Op>((*places)[layer]);
  }
  return genotype;
}

NetworkCost least_cost(const NetworkShape& shape) {
  return flowdarts::least_cost(choices_of({}, shape), cost_of({}, shape));
}

}  // namespace flowdarts::mobilenet
