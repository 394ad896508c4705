#pragma once
// The NAS-Bench-201 cell (Dong and Yang, "NAS-Bench-201", ICLR 2020): four nodes, an op of five on each of the six
// edges. No LibTorch.

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>

namespace flowdarts::nas_bench_201 {

inline constexpr std::string_view space_name = "nas-bench-201";

/// The candidate ops in the order of alpha's columns.
enum class Op : std::uint8_t { none, skip_connect, nor_conv_1x1, nor_conv_3x3, avg_pool_3x3 };

inline constexpr std::array<std::string_view, 5> op_names{"none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3",
                                                          "avg_pool_3x3"};
constexpr std::string_view name_of(Op op) {
  return op_names[static_cast<std::size_t>(op)];
}

/// Node `to` adds what the op on this edge makes of node `from`. Node 0 is the cell's input, node 3 its output.
struct Edge {
  int to;
  int from;
};

inline constexpr int node_count = 4;

/// The edges in the order of alpha's rows.
inline constexpr std::array<Edge, 6> edges{{{1, 0}, {2, 0}, {2, 1}, {3, 0}, {3, 1}, {3, 2}}};
inline constexpr std::array<std::string_view, 6> edge_names{"1<-0", "2<-0", "2<-1", "3<-0", "3<-1", "3<-2"};

/// The number of cells, 5^6.
inline constexpr int genotype_count = 15625;

/// One cell: the op of each edge.
struct Genotype {
  std::array<Op, edges.size()> ops{};

  bool operator==(const Genotype&) const = default;

  /// The ops as base-5 digits, edge 1<-0 the most significant: 0 is all `none`, 15,624 all `avg_pool_3x3`. It is
  /// flowdarts' own; the benchmark numbers its cells in another order.
  [[nodiscard]] constexpr int index() const {
    int value = 0;
    for (const Op op : ops) value = value * static_cast<int>(op_names.size()) + static_cast<int>(op);
    return value;
  }

  /// The cell of that index. Throws InputError when it is not in [0, 15625).
  static Genotype from_index(int index);
};

/// The benchmark's architecture string, for example
/// `|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_3x3~1|skip_connect~2|`.
std::string to_string(const Genotype& genotype);

/// Reads exactly what to_string() writes: every input of every node, in order, nothing before, between or behind.
/// Throws InputError with the position (first character = 1), what was found there and what was expected.
Genotype parse_genotype(std::string_view text);

/// The content of a `genotype.json`: one object with the members
///   "space": "nas-bench-201", "genotype": the architecture string, "ops": {"1<-0": op name, ..., "3<-2": op name}.
std::string to_json(const Genotype& genotype);

/// Reads such an object. "space" and "genotype" are required, "ops" must agree where present, other members are
/// ignored. Throws InputError.
Genotype from_json(std::string_view text);

/// The cell as a Graphviz digraph, input left; `none` edges dashed.
std::string to_dot(const Genotype& genotype);

/// The cell of the largest scores (alpha or any importance), [6 edges, 5 ops] row-major. All ops compete, `none`
/// included; ties go to the lowest column. Throws InputError on another size or a NaN.
Genotype derive(std::span<const double> scores);

/// Which ops unique_string() sees through.
enum class Isomorphism : std::uint8_t {
  none_and_skip,  // `none` gives zero, `skip_connect` its source: 6,466 classes
  skip,           // only `skip_connect` gives its source: 12,751 classes
  plain           // neither: 15,625 classes
};

/// The benchmark's text of the class of isomorphic cells that this cell belongs to. For analysis only: cells of one
/// class were trained apart and have accuracies of their own.
std::string unique_string(const Genotype& genotype, Isomorphism isomorphism = Isomorphism::none_and_skip);

/// Whether the input reaches the output through ops other than `none`; 15,284 cells are connected.
bool is_connected(const Genotype& genotype);

}  // namespace flowdarts::nas_bench_201

template <>
struct std::hash<flowdarts::nas_bench_201::Genotype> {
  std::size_t operator()(const flowdarts::nas_bench_201::Genotype& genotype) const noexcept {
    return static_cast<std::size_t>(genotype.index());
  }
};
