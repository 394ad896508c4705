#pragma once
// DARTS genotypes whose network may cost only so much. No LibTorch.

#include <flowdarts/spaces/budget.hpp>
#include <flowdarts/spaces/darts/count.hpp>
#include <optional>
#include <span>
#include <vector>

namespace flowdarts::darts {

/// Which pairs of terms a node may have.
enum class NodeRule : std::uint8_t {
  two_edges,  // of two edges, as DARTS, PC-DARTS and P-DARTS derive
  two_ops     // any two, also of one edge, as IS-DARTS derives
};

/// The stand-alone network of genotypes, for images of image_size.
struct NetworkFrame {
  NetworkSpec spec;
  int image_size = 32;
};

/// Of the genotypes whose stand-alone network is within the budget, the one of the largest sum of scores over all terms
/// of its nodes; none where there is none. normal, reduce [edges, 8 or 7], row-major, in one scale over all edges; an
/// op that may not be has -infinity; `none` is never chosen. A node's stronger term comes first, with two_ops the one
/// of the lower edge. skip_limit: the most skips of the normal cell; while it has more, the score of its weakest skip
/// becomes 0 and everything is chosen anew, as in derive_progressive(). Throws InputError for another size or a NaN.
std::optional<Genotype> derive_within(std::span<const double> normal, std::span<const double> reduce, int nodes,
                                      NodeRule rule, const Budget& budget, const NetworkFrame& frame,
                                      std::optional<int> skip_limit = std::nullopt);

/// The least that a genotype's network can cost.
NetworkCost least_cost(int nodes, const NetworkFrame& frame);

NetworkCost cost_of(const Genotype& genotype, const NetworkFrame& frame);

}  // namespace flowdarts::darts
