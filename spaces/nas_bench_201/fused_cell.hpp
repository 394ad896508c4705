#pragma once

#include <flowdarts/spaces/nas_bench_201/candidate_cell.hpp>
#include <memory>
#include <vector>

namespace flowdarts::nas_bench_201 {

struct CellPlan;

/// A search cell as one operator with a backward pass of its own. The convolutions of one kernel size that read a node
/// run as one; a node is rectified and pooled once, not once an edge; what ends in a node is one mix
/// (spaces/mixed_op/mix.hpp).
class FusedCell : public CandidateCell {
 public:
  FusedCell(const SupernetSpec& spec, std::int64_t channels);

  using CandidateCell::forward;

  /// x [B, C, H, W], float32, float64 or bfloat16; op_weights [6, 5], each times its edge's weight where edges have
  /// any; edge_weights [6, 1], of the channels that pass by the ops, or undefined. Returns node 3, [B, C, H, W],
  /// channels-last. pass->cell is this cell's number and becomes the next one's. Partial channels, dropout and observer
  /// are for a CPU.
  torch::Tensor forward(const torch::Tensor& x, const torch::Tensor& op_weights, const torch::Tensor& edge_weights,
                        MixedOpPass* pass);

  /// Runs from now on only the ops that are `left`, row by row of the matrix of op weights; empty: all.
  void keep(const std::vector<bool>& left);

 private:
  std::int64_t channels_;
  std::shared_ptr<const CellPlan> plan_;
};

}  // namespace flowdarts::nas_bench_201
