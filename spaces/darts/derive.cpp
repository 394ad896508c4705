#include <algorithm>
#include <cmath>
#include <flowdarts/spaces/darts/derive.hpp>
#include <flowdarts/spaces/support/error.hpp>
#include <string>
#include <vector>

namespace flowdarts::darts {
namespace {

constexpr std::size_t none = static_cast<std::size_t>(Op::none);
constexpr std::size_t skip = static_cast<std::size_t>(Op::skip_connect);

void refuse_size(std::size_t found, std::size_t edges, const std::string& columns) {
  throw InputError("scores of a DARTS cell: found " + std::to_string(found) + " numbers, expected " +
                   std::to_string(edges) + " x " + columns);
}

void refuse_nan(std::size_t edge, Op op) {
  throw InputError("scores of a DARTS cell: edge " + std::to_string(edge) + ", op " + std::string(name_of(op)) +
                   ": found NaN, expected a number");
}

/// The columns of a matrix [edges, 8 or 7].
struct Columns {
  std::size_t count;
  std::size_t first;  // of an op that is not `none`

  Columns(std::size_t size, int nodes) : count(size / edge_count(nodes)), first(count == candidate_count ? 1 : 0) {
    const std::size_t edges = edge_count(nodes);
    if (count * edges != size || (count != candidate_count && count != candidate_count - 1)) {
      refuse_size(size, edges, "8 or 7");
    }
  }
  [[nodiscard]] Op op(std::size_t column) const { return static_cast<Op>(column + 1 - first); }
};

int nodes_of(const OpMask& mask) {
  int nodes = 1;
  while (edge_count(nodes) < mask.size()) ++nodes;
  if (edge_count(nodes) != mask.size()) {
    throw InputError("mask of a DARTS cell: found " + std::to_string(mask.size()) +
                     " edges, expected those of whole nodes (2, 5, 9, 14, ...)");
  }
  return nodes;
}

void check_scores(const OpMask& mask, std::span<const double> scores) {
  if (scores.size() != mask.size() * candidate_count) refuse_size(scores.size(), mask.size(), "8");
  for (std::size_t i = 0; i < scores.size(); ++i) {
    const std::size_t edge = i / candidate_count, op = i % candidate_count;
    if (mask[edge][op] && std::isnan(scores[i])) refuse_nan(edge, static_cast<Op>(op));
  }
}

/// The op of the smallest score on an edge, of equal ones the lowest column.
std::size_t weakest(const std::array<bool, candidate_count>& row, std::span<const double> scores) {
  std::size_t found = candidate_count;
  for (std::size_t op = 0; op < candidate_count; ++op) {
    if (row[op] && (found == candidate_count || scores[op] < scores[found])) found = op;
  }
  return found;
}

std::span<const double> row_of(std::span<const double> scores, std::size_t edge) {
  return scores.subspan(edge * candidate_count, candidate_count);
}

/// An edge into a node: its strongest op.
struct Candidate {
  Input input;
  double strength = 0;
};

void set_concat(Cell& cell) {
  cell.concat.clear();
  for (int node = 0; node < cell.nodes(); ++node) cell.concat.push_back(node + input_states);
}

Cell choose_progressive(const OpMask& mask, std::span<const double> probabilities) {
  const OpMask left = keep_strongest(mask, probabilities);
  Cell cell;
  cell.inputs.clear();
  for (int node = 0; node < nodes_of(mask); ++node) {
    std::vector<Candidate> candidates;
    for (int state = node + input_states; state-- > 0;) {  // of equal ones the higher source
      const std::size_t edge = first_edge(node) + static_cast<std::size_t>(state);
      const std::size_t op = weakest(left[edge], row_of(probabilities, edge));
      candidates.push_back({{static_cast<Op>(op), state}, row_of(probabilities, edge)[op]});
    }
    std::ranges::stable_sort(candidates, std::greater(), &Candidate::strength);
    if (candidates[0].input.state > candidates[1].input.state) std::swap(candidates[0], candidates[1]);
    cell.inputs.insert(cell.inputs.end(), {candidates[0].input, candidates[1].input});
  }
  set_concat(cell);
  return cell;
}

std::size_t edge_of(const Cell& cell, std::size_t input) {
  return first_edge(static_cast<int>(input / 2)) + static_cast<std::size_t>(cell.inputs[input].state);
}

}  // namespace

Cell derive(std::span<const double> weights, std::span<const double> edge_weights, int nodes) {
  const std::size_t edges = edge_count(nodes);
  const Columns columns(weights.size(), nodes);
  if (edge_weights.size() != edges) refuse_size(edge_weights.size(), edges, "1 of edge weights");
  Cell cell;
  cell.inputs.clear();
  for (int node = 0; node < nodes; ++node) {
    std::vector<Candidate> candidates;
    for (int state = 0; state < node + input_states; ++state) {
      const std::size_t edge = first_edge(node) + static_cast<std::size_t>(state);
      Candidate best{{}, -INFINITY};
      for (std::size_t column = columns.first; column < columns.count; ++column) {
        const Op op = columns.op(column);
        const double strength = weights[edge * columns.count + column] * edge_weights[edge];
        if (std::isnan(strength)) refuse_nan(edge, op);
        if (column == columns.first || strength > best.strength) best = {{op, state}, strength};
      }
      candidates.push_back(best);
    }
    std::ranges::stable_sort(candidates, std::greater(), &Candidate::strength);
    cell.inputs.insert(cell.inputs.end(), {candidates[0].input, candidates[1].input});
  }
  set_concat(cell);
  return cell;
}

Cell derive(std::span<const double> weights, int nodes) {
  return derive(weights, std::vector<double>(edge_count(nodes), 1.0), nodes);
}

OpMask keep_strongest(OpMask mask, std::span<const double> probabilities) {
  check_scores(mask, probabilities);
  for (std::size_t edge = 0; edge < mask.size(); ++edge) {
    mask[edge][none] = false;
    auto alive = std::ranges::count(mask[edge], true);
    if (alive == 0) {
      throw InputError("mask of a DARTS cell: edge " + std::to_string(edge) + ": found no op, expected at least one");
    }
    for (; alive > 1; --alive) mask[edge][weakest(mask[edge], row_of(probabilities, edge))] = false;
  }
  return mask;
}

Cell derive_progressive(const OpMask& mask, std::span<const double> probabilities, std::optional<int> skip_limit) {
  check_scores(mask, probabilities);
  std::vector<double> left(probabilities.begin(), probabilities.end());
  for (;;) {
    Cell cell = choose_progressive(mask, left);
    int skips = 0;
    double* least = nullptr;
    for (std::size_t i = 0; i < cell.inputs.size(); ++i) {
      if (cell.inputs[i].op != Op::skip_connect) continue;
      ++skips;
      double& own = left[edge_of(cell, i) * candidate_count + skip];
      if (own > 0.0 && (least == nullptr || own < *least)) least = &own;
    }
    // Where a skip is all that an edge has left, it stays whatever the limit.
    if (!skip_limit || skips <= *skip_limit || least == nullptr) return cell;
    *least = 0.0;
  }
}

Cell derive_of_nodes(std::span<const double> scores, int nodes) {
  const Columns columns(scores.size(), nodes);
  Cell cell;
  cell.inputs.clear();
  for (int node = 0; node < nodes; ++node) {
    std::vector<std::size_t> left;  // places in `scores`
    for (std::size_t i = first_edge(node) * columns.count; i < first_edge(node + 1) * columns.count; ++i) {
      const std::size_t edge = i / columns.count, column = i % columns.count;
      if (column < columns.first) continue;
      if (std::isnan(scores[i])) refuse_nan(edge, columns.op(column));
      if (scores[i] > -INFINITY) left.push_back(i);
    }
    if (left.size() < 2) {
      throw InputError("scores of a DARTS cell: node " + std::to_string(node) + ": found " +
                       std::to_string(left.size()) + " ops that are left, expected at least two");
    }
    std::ranges::stable_sort(left, std::greater(), [&](std::size_t i) { return scores[i]; });
    left.resize(2);
    std::ranges::sort(left);
    for (const std::size_t i : left) {
      cell.inputs.push_back({columns.op(i % columns.count), static_cast<int>(i / columns.count - first_edge(node))});
    }
  }
  set_concat(cell);
  return cell;
}

}  // namespace flowdarts::darts
