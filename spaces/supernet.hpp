#pragma once
// What every search supernet offers to the stages, whatever its space.

#include <torch/torch.h>

#include <cstdint>
#include <flowdarts/spaces/rank_sum.hpp>
#include <flowdarts/spaces/support/error.hpp>
#include <functional>
#include <memory>
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

/// Ops that compete with one another where a supernet is narrowed: all ops of `rows` consecutive rows of a matrix, of
/// which `keep` are left in the end.
struct OpGroup {
  std::size_t matrix = 0;
  std::int64_t first_row = 0;
  std::int64_t rows = 1;
  std::int64_t keep = 1;
};

/// Is shown the output [B, C, H, W] of a candidate op, before its weight, of the place (matrix, row, column).
using OutputObserver =
    std::function<void(std::size_t matrix, std::int64_t row, std::int64_t column, const torch::Tensor& output)>;

/// Dropout behind the identity skips of the mixed ops (P-DARTS; VP-DARTS): every element is 0 with probability `rate`
/// and divided by 1 - rate otherwise. What is dropped depends on `key` and on the place of the skip alone.
struct SkipDropout {
  double rate = 0;
  std::uint64_t key = 0;
};

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

  /// Batch norms use the statistics of the whole batch, of which each process has a share, from now on; null: those of
  /// this process's share. Throws InputError where the supernet cannot.
  virtual void share_statistics(const std::shared_ptr<const RankSum>& sum) {
    if (sum)
      throw InputError("this form of the supernet has batch statistics of one process only; try --sync-bn false");
  }

  /// Whether a training-mode pass enqueues the same work on the device every time, so that a step can be recorded and
  /// launched again (stages/graph_capture/): no value of a tensor is read on the host, nothing is drawn at random.
  [[nodiscard]] virtual bool recordable() const { return false; }

  /// Says for good which ops are left: a matrix of 0 and 1 for each of arch_shapes(). The weights of all others are 0
  /// from now on, so a supernet need not run them; this one's way to do nothing about it is correct.
  virtual void set_masks(const std::vector<torch::Tensor>& /* masks */) {}

  /// Of the forward passes to come. Throws InputError where the supernet has no dropout.
  virtual void set_skip_dropout(const SkipDropout& dropout) {
    if (dropout.rate > 0) throw InputError("this form of the supernet has no dropout of skips; try --mixed-op oracle");
  }

  /// Shows every candidate of every cell in the forward passes to come; `none` has no output and is not shown. An empty
  /// observer ends that. Throws InputError where single candidates cannot be seen.
  virtual void set_output_observer(OutputObserver /* observer */) {
    throw InputError("this form of the supernet does not show its candidates' outputs; try --mixed-op oracle");
  }
};

}  // namespace flowdarts
