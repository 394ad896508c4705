#pragma once
// The DARTS cells (Liu, Simonyan, Yang, "DARTS: Differentiable Architecture Search", ICLR 2019): a normal and a
// reduction cell, each node the sum of two ops. No LibTorch.

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace flowdarts::darts {

inline constexpr std::string_view space_name = "darts";

/// The candidate ops in the order of alpha's columns, then two that only hand-made genotypes (NASNet, AmoebaNet) have.
enum class Op : std::uint8_t {
  none,
  max_pool_3x3,
  avg_pool_3x3,
  skip_connect,
  sep_conv_3x3,
  sep_conv_5x5,
  dil_conv_3x3,
  dil_conv_5x5,
  sep_conv_7x7,
  conv_7x1_1x7
};

inline constexpr std::array<std::string_view, 10> op_names{
    "none",         "max_pool_3x3", "avg_pool_3x3", "skip_connect", "sep_conv_3x3",
    "sep_conv_5x5", "dil_conv_3x3", "dil_conv_5x5", "sep_conv_7x7", "conv_7x1_1x7"};
constexpr std::string_view name_of(Op op) {
  return op_names[static_cast<std::size_t>(op)];
}

/// The ops of a search: the first eight, or without `none` (seven, "S5") as Beta-DARTS, DARTS-PT and SmoothDARTS do.
inline constexpr std::size_t candidate_count = 8;

/// States of a cell: 0 is the output of the cell before the previous one, 1 that of the previous cell, 2, 3, ... its
/// own nodes. Node n, which is state n + 2, reads any of the states 0 to n + 1.
inline constexpr int input_states = 2;
inline constexpr int default_nodes = 4;
inline constexpr int max_nodes = 16;

/// Row of an architecture matrix where node n begins; edge_count(nodes) rows in all: by node, then by source.
constexpr std::size_t first_edge(int node) {
  return static_cast<std::size_t>(node) * static_cast<std::size_t>(node + 3) / 2;
}
constexpr std::size_t edge_count(int nodes) {
  return first_edge(nodes);
}

/// One of the two terms of a node.
struct Input {
  Op op = Op::skip_connect;  // never none
  int state = 0;

  bool operator==(const Input&) const = default;
};

struct Cell {
  /// Two for each node, nodes in order. The default adds up the cell's two inputs in every node.
  std::vector<Input> inputs = {{Op::skip_connect, 0}, {Op::skip_connect, 1}, {Op::skip_connect, 0},
                               {Op::skip_connect, 1}, {Op::skip_connect, 0}, {Op::skip_connect, 1},
                               {Op::skip_connect, 0}, {Op::skip_connect, 1}};
  /// The states whose channels are the cell's output, ascending, all of them nodes.
  std::vector<int> concat = {2, 3, 4, 5};

  [[nodiscard]] int nodes() const { return static_cast<int>(inputs.size() / 2); }
  bool operator==(const Cell&) const = default;
};

struct Genotype {
  Cell normal, reduce;

  bool operator==(const Genotype&) const = default;
};

/// The same network with the two inputs of each node in order of (state, op): two genotypes describe one network
/// exactly when their sorted forms are equal.
Genotype sorted(Genotype genotype);

/// The text that Python prints for the named tuple of the DARTS, PC-DARTS, P-DARTS, Beta-DARTS and DARTS-PT
/// repositories, and that pastes behind `NAME = ` into their genotypes.py:
///   Genotype(normal=[('op', state), ...], normal_concat=range(2, 6), reduce=[...], reduce_concat=range(2, 6))
/// A concat list with gaps is written as [2, 4, 5].
std::string to_string(const Genotype& genotype);

/// Reads what to_string() writes and what those genotypes.py hold: a name and = in front; either quotes; white space
/// and line breaks between any two tokens; a comma behind the last item; concat as range(2, 6) or [2, 3, 4, 5]; the two
/// hand-made ops; 1 to 16 nodes. Refuses all else, `none` included, with the line and character (both from 1), what was
/// found there and what was expected, as InputError.
Genotype parse_genotype(std::string_view text);

/// The content of a `genotype.json`: one object with the members "space": "darts", "genotype": the text above, and
/// "normal" and "reduce", each {"nodes": [[[op, state], [op, state]], ...], "concat": [2, 3, 4, 5]}.
std::string to_json(const Genotype& genotype);

/// Reads such an object. "space" and "genotype" are required, "normal" and "reduce" must agree where present, other
/// members are ignored. Throws InputError.
Genotype from_json(std::string_view text);

/// Both cells as one Graphviz digraph with two clusters, inputs left; ops label the edges.
std::string to_dot(const Genotype& genotype);

}  // namespace flowdarts::darts
