#include <flowdarts/spaces/nas_bench_201/budget.hpp>
#include <vector>

namespace flowdarts::nas_bench_201 {
namespace {

NetworkCost cost_of(const Genotype& genotype, const NetworkShape& shape) {
  const NetworkCounts counts = count_network(genotype, shape);
  return {counts.params, counts.macs};
}

/// Edges add to the cost one by one. scores: empty, or those of the choices.
std::vector<std::vector<Choice>> choices_of(std::span<const double> scores, const NetworkShape& shape) {
  const NetworkCost empty = cost_of({}, shape);
  std::vector<std::vector<Choice>> groups(edges.size());
  for (std::size_t edge = 0; edge < edges.size(); ++edge) {
    for (std::size_t op = 0; op < op_names.size(); ++op) {
      Genotype alone;
      alone.ops[edge] = static_cast<Op>(op);
      groups[edge].push_back(
          {scores.empty() ? 0.0 : scores[edge * op_names.size() + op], cost_of(alone, shape) - empty});
    }
  }
  return groups;
}

}  // namespace

std::optional<Genotype> derive_within(std::span<const double> scores, const Budget& budget, const NetworkShape& shape) {
  Genotype genotype = derive(scores);
  if (budget.holds(cost_of(genotype, shape))) return genotype;
  const auto places = best_within(choices_of(scores, shape), cost_of({}, shape), budget);
  if (!places) return std::nullopt;
  for (std::size_t edge = 0; edge < edges.size(); ++edge) genotype.ops[edge] = static_cast<Op>((*places)[edge]);
  return genotype;
}

NetworkCost least_cost(const NetworkShape& shape) {
  return flowdarts::least_cost(choices_of({}, shape), cost_of({}, shape));
}

}  // namespace flowdarts::nas_bench_201
