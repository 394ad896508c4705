#pragma once

#include <flowdarts/spaces/darts/candidate_cell.hpp>
#include <flowdarts/spaces/darts/fused_state.hpp>
#include <memory>
#include <vector>

namespace flowdarts::darts {

/// A search cell of fused operators: on a CPU all edges that leave a state are one operator (fused_state.hpp), on a GPU
/// they are composed of several (composed_state.hpp).
class FusedCell : public CandidateCell {
 public:
  FusedCell(const SupernetSpec& spec, const CellPlace& place);

  /// s0, s1 [B, C, H, W], channels-last, float32, float64 or bfloat16: what the cell reads, behind the ReLU that its
  /// preprocessing begins with; op_weights [edges, columns]; edge_weights [edges, 1] or undefined. Returns the
  /// concatenated nodes, channels-last, rectified where asked for: as the next cells read them. Where there is an
  /// observer, it is shown the candidates, state by state.
  torch::Tensor forward(const torch::Tensor& s0, const torch::Tensor& s1, const torch::Tensor& op_weights,
                        const torch::Tensor& edge_weights, bool rectify, const OutputObserver& observer);

  /// Runs from now on only the ops that are `left`, row by row of the matrix of op weights; empty: all.
  void keep(const std::vector<bool>& left);

  /// Composes on a CPU, too.
  void compose() { composed_ = true; }

 private:
  /// What is added up in a node: from edges with a candidate, and around partial channels.
  struct NodeInputs;

  void add_state(int state, const std::vector<bool>& left);
  [[nodiscard]] bool is_composed(const torch::Tensor& x) const { return composed_ || !x.is_cpu(); }
  [[nodiscard]] torch::Tensor preprocessed(std::size_t input, const torch::Tensor& rectified) const;
  void read(int state, const torch::Tensor& x, const torch::Tensor& op_weights, const OutputObserver& observer,
            std::vector<NodeInputs>& nodes) const;

  struct Reader {
    std::shared_ptr<const StatePlan> plan;
    std::vector<int> nodes;  // where the plan's edges end
  };
  std::vector<Reader> readers_;  // of each state but the last
  bool composed_ = false;
};

}  // namespace flowdarts::darts
