#pragma once
// From what a search has learnt to a cell: the rules of DARTS, PC-DARTS, P-DARTS and IS-DARTS. No LibTorch. All take
// matrices row-major, a row an edge, and throw InputError for another size or a NaN; `none` is never chosen.

#include <cstdint>
#include <flowdarts/spaces/darts/spec.hpp>
#include <optional>
#include <span>

namespace flowdarts::darts {

/// DARTS (section 2.4). weights [edges, 8 or 7]: the mixing weights, softmax(alpha) over all columns, `none` included;
/// seven columns have none of it. An edge is as strong as its largest weight without `none`; each node keeps its two
/// strongest edges, the stronger one first, each with its strongest op. Equal ones: the lower source, the lower column.
Cell derive(std::span<const double> weights, int nodes = default_nodes);

/// PC-DARTS (Xu et al., ICLR 2020, section 3.3): the same on the weights times edge_weights [edges], the softmax of
/// beta over the edges of each node.
Cell derive(std::span<const double> weights, std::span<const double> edge_weights, int nodes = default_nodes);

/// P-DARTS (Chen et al., ICCV 2019) after a stage: on every edge the `count` ops of the smallest probability go, one
/// after the other, of equal ones the lowest column; `none` competes. probabilities [edges, 8]; those of ops that are
/// not in `mask` are not looked at.
OpMask drop_weakest(OpMask mask, std::span<const double> probabilities, int count);

/// P-DARTS after its last stage: `none` goes first, then the weakest, until one op is left on every edge.
OpMask keep_strongest(OpMask mask, std::span<const double> probabilities);

/// P-DARTS' cell from the table and the probabilities of the last stage. Ops by keep_strongest(); each node keeps the
/// two edges of the most probable ops, of equal ones the higher source; they are listed by source. While the cell has
/// more than skip_limit skips (P-DARTS: 2 in the normal cell, no limit in the reduction cell), the probability of its
/// weakest skip becomes 0 and everything is chosen anew.
Cell derive_progressive(const OpMask& mask, std::span<const double> probabilities,
                        std::optional<int> skip_limit = std::nullopt);

/// IS-DARTS' shrink of a cell (He et al., AAAI 2024): of the ops on all edges into a node, the ceil((count - 2) /
/// steps_left) of the largest score go; of equal ones those of the lower edge, then column, first. scores [edges, 8]:
/// the feature information, +infinity allowed; those of ops that are not in `mask` are not looked at.
OpMask shrink(OpMask mask, std::span<const double> scores, int steps_left);

/// IS-DARTS' cell: the two ops that are left in every node, by edge and column. Both may read the same state. Throws
/// InputError where a node has not two, or one of them is `none`.
Cell derive_survivors(const OpMask& mask);

}  // namespace flowdarts::darts
