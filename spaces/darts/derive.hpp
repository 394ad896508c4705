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

/// P-DARTS (Chen et al., ICCV 2019) after its last stage: `none` goes first, then the op of the smallest probability,
/// of equal ones the lowest column, until one op is left on every edge. probabilities [edges, 8]; those of ops that are
/// not in `mask` are not looked at.
OpMask keep_strongest(OpMask mask, std::span<const double> probabilities);

/// P-DARTS' cell from the table and the probabilities of the last stage. Ops by keep_strongest(); each node keeps the
/// two edges of the most probable ops, of equal ones the higher source; they are listed by source. While the cell has
/// more than skip_limit skips (P-DARTS: 2 in the normal cell, no limit in the reduction cell), the probability of its
/// weakest skip becomes 0 and everything is chosen anew.
Cell derive_progressive(const OpMask& mask, std::span<const double> probabilities,
                        std::optional<int> skip_limit = std::nullopt);

/// IS-DARTS' cell (He et al., AAAI 2024): of the ops on all edges into a node, the two of largest score, by edge and
/// column. Both may read the same state. Of equal ones the lower edge, then column. scores [edges, 8 or 7]; an op that
/// is gone has -infinity. Throws InputError where a node has not two.
Cell derive_of_nodes(std::span<const double> scores, int nodes = default_nodes);

}  // namespace flowdarts::darts
