#pragma once
// How much worse a supernet classifies without one of its candidate ops.

#include <cstdint>
#include <flowdarts/stages/measure/measuring.hpp>
#include <vector>

namespace flowdarts {

/// Without the op of each place, matrix by matrix, row-major.
struct Removal {
  std::vector<std::vector<double>> accuracy;  ///< part of the images classified right, 0 to 1
  std::vector<std::vector<double>> loss;      ///< mean cross-entropy, nats
};

/// Sets the weight of one op at a time to 0 in all cells, the others staying as they are, and classifies all images
/// (VP-DARTS, Algorithm 1; DARTS-PT). op_weights: as Supernet::forward takes them. none_column: of the op without
/// output, -1: there is none. Where nothing changes, since the weight is 0 already or the op is `none`, the values are
/// those of the whole supernet.
Removal measure_removal(Supernet& supernet, const std::vector<torch::Tensor>& op_weights, std::int64_t none_column,
                        const MeasureBatches& batches);

/// Scores of which the largest is the op whose removal hurts most: lowest accuracy, then highest loss, then any other
/// op before `none`, then the lowest index. The whole numbers 1 .. n of all n places of a matrix.
std::vector<std::vector<double>> rank_by_removal(const Removal& removal, const std::vector<ArchShape>& shapes,
                                                 std::int64_t none_column);

}  // namespace flowdarts
