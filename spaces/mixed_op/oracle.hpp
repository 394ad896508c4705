#pragma once
// The mixed operation as the papers write it: every candidate op on its own, then the weighted sum. It is what the
// fused kernels are checked against.

#include <torch/torch.h>

#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace flowdarts {

/// One candidate operation on one edge: [B, C, H, W] to [B, C', H', W'].
class CandidateOp : public torch::nn::Module {
 public:
  virtual torch::Tensor forward(const torch::Tensor& x) = 0;
};

/// sum += term, where an undefined tensor is zero. `term` must be nobody else's: the sum may be built in its place.
inline void add_term(torch::Tensor& sum, torch::Tensor term) {
  if (!term.defined()) return;
  if (sum.defined()) {
    sum.add_(term);
  } else {
    sum = std::move(term);
  }
}

/// f(x) = sum_k w_k op_k(x) (DARTS, Liu, Simonyan, Yang, ICLR 2019, equation 2, before its softmax).
class MixedOp : public torch::nn::Module {
 public:
  /// One candidate a column; null for `none` and for an op that does not live on this edge: neither costs anything.
  explicit MixedOp(std::vector<std::shared_ptr<CandidateOp>> candidates) : candidates_(std::move(candidates)) {
    for (std::size_t k = 0; k < candidates_.size(); ++k) {
      if (candidates_[k]) register_module("op" + std::to_string(k), candidates_[k]);
    }
  }

  /// weights: a 0-dimensional tensor a column. Undefined where no candidate lives: zero.
  torch::Tensor forward(const torch::Tensor& x, std::span<const torch::Tensor> weights) {
    torch::Tensor sum;
    for (std::size_t k = 0; k < candidates_.size(); ++k) {
      if (candidates_[k]) add_term(sum, candidates_[k]->forward(x) * weights[k]);
    }
    return sum;
  }

  /// The candidate of a column, or null.
  [[nodiscard]] const std::shared_ptr<CandidateOp>& candidate(std::size_t column) const { return candidates_[column]; }

 private:
  std::vector<std::shared_ptr<CandidateOp>> candidates_;
};

}  // namespace flowdarts
