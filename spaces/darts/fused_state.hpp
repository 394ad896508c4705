#pragma once
// All edges of a search cell that leave one state, as one operator.

#include <cstdint>
#include <flowdarts/spaces/darts/ops.hpp>
#include <functional>
#include <memory>
#include <vector>

namespace flowdarts::darts {

/// The candidates on the edges that leave a state, by what is done with them. Edges are counted among those that leave
/// the state and have a candidate; `weight` is the place of a candidate's weight in the matrix, row by row.
struct StatePlan {
  struct Conv {
    std::size_t edge;
    std::int64_t weight;
    const SeparableConv* first;
    const SeparableConv* second;  // of a sep_conv, else null
  };
  struct Pooled {
    std::size_t edge;
    std::int64_t weight;
    const BatchNorm* norm;  // or null
  };
  struct Skip {
    std::size_t edge;
    std::int64_t weight;
    const SkipConnect* op;
  };
  struct Reduce {
    std::size_t edge;
    std::int64_t weight;
    const FactorizedReduce* op;
  };

  std::int64_t stride = 1;
  std::size_t edges = 0;
  std::vector<Conv> convs;
  std::vector<Pooled> max_pools, average_pools;
  std::vector<Skip> skips;
  std::vector<Reduce> reduces;
  std::vector<std::shared_ptr<CandidateOp>> owned;  // what the pointers point into
};

/// Is shown the output of the candidate whose weight is at this place, as float32 at least and without a graph.
using CandidateObserver = std::function<void(std::int64_t weight, const torch::Tensor& output)>;

/// What each edge of `plan` adds to its node: sum_k w_k op_k(x), [B, C, H / stride, W / stride], channels-last. x [B,
/// C, H, W] on a CPU, float32, float64 or bfloat16; op_weights: the matrix, flat. Differentiable once; only gradients
/// asked for are computed. Results repeat bit for bit for one number of threads. `observer` may be empty.
///
/// Work goes a few images at a time, so that what lies between the parts of a separable convolution, and most
/// gradients, exist for those alone and do not leave the cache: kept are x, the pools and what each pointwise
/// convolution gives. The backward pass computes the rest again, and less of it where no weight asks for a gradient.
std::vector<torch::Tensor> read_state(const std::shared_ptr<const StatePlan>& plan, const torch::Tensor& x,
                                      const torch::Tensor& op_weights, const CandidateObserver& observer = {});

}  // namespace flowdarts::darts
