#pragma once
// How the processes of one search add up what each has computed on its share of a batch.

#include <torch/torch.h>

namespace flowdarts {

/// The sum of a tensor over all processes that share the batches of a search.
class RankSum {
 public:
  RankSum() = default;
  RankSum(const RankSum&) = delete;
  RankSum& operator=(const RankSum&) = delete;
  virtual ~RankSum() = default;

  /// Replaces the contiguous tensor by its sum, element by element; the same bits in every process. Collective: all
  /// processes call it in the same order, with tensors of the same size and type (float32 or float64). On a GPU it is
  /// enqueued on the current stream.
  virtual void add_up(const torch::Tensor& tensor) const = 0;
};

}  // namespace flowdarts
