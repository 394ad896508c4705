#include <array>
#include <cmath>
#include <flowdarts/spaces/darts/budget.hpp>
#include <flowdarts/spaces/support/error.hpp>
#include <string>

namespace flowdarts::darts {
namespace {

/// A term that a node may have.
struct ScoredInput {
  Input input;
  std::size_t place;  // in the matrix of scores
  double score;
};

/// A skip from state 0 in every place: what other terms cost is counted from there.
Genotype plain_genotype(int nodes) {
  Cell cell;
  cell.inputs.assign(2 * static_cast<std::size_t>(nodes), Input{Op::skip_connect, 0});
  cell.concat.clear();
  for (int node = 0; node < nodes; ++node) cell.concat.push_back(node + input_states);
  return {cell, cell};
}

/// What a term costs more than the plain one in its place: by cell, op and whether it reads an input of the cell, where
/// a reduction cell has stride 2.
class TermCosts {
 public:
  TermCosts(int nodes, const NetworkFrame& frame) : plain_(cost_of(plain_genotype(nodes), frame)) {
    for (std::size_t kind = 0; kind < 2; ++kind) {
      for (std::size_t op = 1; op < candidate_count; ++op) {
        for (const bool from_input : {true, false}) {
          if (!from_input && nodes == 1) continue;  // its only node reads inputs
          Genotype genotype = plain_genotype(nodes);
          Cell& cell = kind == 0 ? genotype.normal : genotype.reduce;
          cell.inputs.back() = {static_cast<Op>(op), from_input ? 0 : input_states};
          costs_[kind][op][from_input ? 1 : 0] = cost_of(genotype, frame) - plain_;
        }
      }
    }
  }
  [[nodiscard]] const NetworkCost& plain() const { return plain_; }
  [[nodiscard]] const NetworkCost& of(std::size_t kind, const Input& input) const {
    return costs_[kind][static_cast<std::size_t>(input.op)][input.state < input_states ? 1 : 0];
  }

 private:
  NetworkCost plain_;
  std::array<std::array<std::array<NetworkCost, 2>, candidate_count>, 2> costs_{};
};

/// The terms of a node, of a matrix [edges, columns].
std::vector<ScoredInput> inputs_of(std::span<const double> scores, std::size_t columns, int node) {
  std::vector<ScoredInput> inputs;
  const std::size_t first = columns == candidate_count ? 1 : 0;
  for (int state = 0; state < node + input_states; ++state) {
    const std::size_t edge = first_edge(node) + static_cast<std::size_t>(state);
    for (std::size_t column = first; column < columns; ++column) {
      const std::size_t place = edge * columns + column;
      const auto op = static_cast<Op>(column + 1 - first);
      if (std::isnan(scores[place])) {
        throw InputError("scores of a DARTS cell: edge " + std::to_string(edge) + ", op " + std::string(name_of(op)) +
                         ": found NaN, expected a number");
      }
      inputs.push_back({{op, state}, place, scores[place]});
    }
  }
  return inputs;
}

/// The pairs of terms that a node may be, and what each costs.
struct NodeChoices {
  std::vector<std::array<ScoredInput, 2>> pairs;
  std::vector<Choice> choices;
};

NodeChoices choices_of(const std::vector<ScoredInput>& inputs, std::size_t kind, NodeRule rule,
                       const TermCosts& costs) {
  NodeChoices node;
  for (std::size_t a = 0; a < inputs.size(); ++a) {
    for (std::size_t b = a + 1; b < inputs.size(); ++b) {
      if (rule == NodeRule::two_edges && inputs[a].input.state == inputs[b].input.state) continue;
      const bool swap = rule == NodeRule::two_edges && inputs[b].score > inputs[a].score;
      node.pairs.push_back(swap ? std::array{inputs[b], inputs[a]} : std::array{inputs[a], inputs[b]});
      node.choices.push_back(
          {inputs[a].score + inputs[b].score, costs.of(kind, inputs[a].input) + costs.of(kind, inputs[b].input)});
    }
  }
  return node;
}

std::size_t columns_of(std::span<const double> scores, int nodes) {
  const std::size_t edges = edge_count(nodes), columns = scores.size() / edges;
  if (columns * edges != scores.size() || (columns != candidate_count && columns != candidate_count - 1)) {
    throw InputError("scores of a DARTS cell: found " + std::to_string(scores.size()) + " numbers, expected " +
                     std::to_string(edges) + " x 8 or 7");
  }
  return columns;
}

}  // namespace

NetworkCost cost_of(const Genotype& genotype, const NetworkFrame& frame) {
  const NetworkCounts counts = count_network(genotype, frame.spec, frame.image_size);
  return {counts.params, counts.macs};
}

std::optional<Genotype> derive_within(std::span<const double> normal, std::span<const double> reduce, int nodes,
                                      NodeRule rule, const Budget& budget, const NetworkFrame& frame,
                                      std::optional<int> skip_limit) {
  const TermCosts costs(nodes, frame);
  std::array<std::vector<double>, 2> scores{{{normal.begin(), normal.end()}, {reduce.begin(), reduce.end()}}};
  for (;;) {
    std::vector<NodeChoices> all;
    std::vector<std::vector<Choice>> groups;
    for (std::size_t kind = 0; kind < 2; ++kind) {
      const std::size_t columns = columns_of(scores[kind], nodes);
      for (int node = 0; node < nodes; ++node) {
        all.push_back(choices_of(inputs_of(scores[kind], columns, node), kind, rule, costs));
        groups.push_back(all.back().choices);
      }
    }
    const auto places = best_within(groups, costs.plain(), budget);
    if (!places) return std::nullopt;
    Genotype genotype = plain_genotype(nodes);
    int skips = 0;
    double* least = nullptr;
    for (std::size_t n = 0; n < all.size(); ++n) {
      const bool is_normal = n < static_cast<std::size_t>(nodes);
      Cell& cell = is_normal ? genotype.normal : genotype.reduce;
      const std::size_t at = 2 * (n % static_cast<std::size_t>(nodes));
      for (std::size_t i = 0; i < 2; ++i) {
        const ScoredInput& own = all[n].pairs[(*places)[n]][i];
        cell.inputs[at + i] = own.input;
        if (!is_normal || own.input.op != Op::skip_connect) continue;
        ++skips;
        double& score = scores[0][own.place];
        if (score > 0.0 && (least == nullptr || score < *least)) least = &score;
      }
    }
    if (!skip_limit || skips <= *skip_limit || least == nullptr) return genotype;
    *least = 0.0;
  }
}

NetworkCost least_cost(int nodes, const NetworkFrame& frame) {
  const TermCosts costs(nodes, frame);
  const std::vector<double> scores(edge_count(nodes) * candidate_count);
  std::vector<std::vector<Choice>> groups;
  for (std::size_t kind = 0; kind < 2; ++kind) {
    for (int node = 0; node < nodes; ++node) {
      groups.push_back(choices_of(inputs_of(scores, candidate_count, node), kind, NodeRule::two_edges, costs).choices);
    }
  }
  return flowdarts::least_cost(groups, costs.plain());
}

}  // namespace flowdarts::darts
