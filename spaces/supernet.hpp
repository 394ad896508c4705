#pragma once
// What every search supernet offers to the stages, whatever its space.

#include <torch/torch.h>

#include <cstdint>
#include <vector>

namespace flowdarts {

/// One matrix of architecture parameters: a row an edge (or layer), a column a candidate op.
struct ArchShape {
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  /// Sizes of the groups of consecutive rows that compete with one another, where rows compete and not columns: one
  /// column then, such as PC-DARTS' edge weights, a group a node.
  std::vector<std::int64_t> row_groups;
};

/// The softmax of an architecture matrix over what competes in it: the columns of each row, or the rows of each group.
inline torch::Tensor competing_softmax(const torch::Tensor& alpha, const ArchShape& shape) {
  if (shape.row_groups.empty()) return torch::softmax(alpha, 1);
  std::vector<torch::Tensor> groups = alpha.split_with_sizes(shape.row_groups);
  for (torch::Tensor& group : groups) group = torch::softmax(group, 0);
  return torch::cat(groups);
}

/// A supernet whose candidate ops are mixed by weights that come from outside: it holds the weights w, never alpha.
class Supernet : public torch::nn::Module {
 public:
  /// images [B, 3, H, W]; op_weights: one [rows, columns] tensor for each of arch_shapes(), same dtype and device as
  /// the images. Returns logits [B, classes].
  virtual torch::Tensor forward(const torch::Tensor& images, const std::vector<torch::Tensor>& op_weights) = 0;

  /// The matrices of op weights that forward() expects, in order.
  [[nodiscard]] virtual std::vector<ArchShape> arch_shapes() const = 0;

  /// Whether a training-mode forward moves the running statistics of the batch norms. Off during passes that a step
  /// adds beyond its one forward on T and one on V (the finite differences of second-order DARTS).
  virtual void set_statistics_updates(bool enabled) = 0;

  /// Whether a training-mode pass enqueues the same work on the device every time, so that a step can be recorded and
  /// launched again (stages/graph_capture/): no value of a tensor is read on the host, nothing is drawn at random.
  [[nodiscard]] virtual bool recordable() const { return false; }
};

}  // namespace flowdarts
