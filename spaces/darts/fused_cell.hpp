#pragma once

#include <flowdarts/spaces/darts/candidate_cell.hpp>

namespace flowdarts::darts {

/// A search cell of fused operators: a state is pooled once, not once an edge; all separable convolutions that read a
/// state are one operator (spaces/mixed_op/separable.hpp); what ends in a node is one mix (spaces/mixed_op/mix.hpp).
class FusedCell : public CandidateCell {
 public:
  using CandidateCell::CandidateCell;

  /// s0, s1 [B, C, H, W], float32, float64 or bfloat16; op_weights [edges, columns]; edge_weights [edges, 1] or
  /// undefined. Returns the concatenated nodes, channels-last.
  torch::Tensor forward(const torch::Tensor& s0, const torch::Tensor& s1, const torch::Tensor& op_weights,
                        const torch::Tensor& edge_weights);

 private:
  struct NodeInputs;
  [[nodiscard]] torch::Tensor preprocessed(std::size_t input, const torch::Tensor& x) const;
  void read_state(int state, const torch::Tensor& x, std::vector<NodeInputs>& nodes) const;
};

}  // namespace flowdarts::darts
