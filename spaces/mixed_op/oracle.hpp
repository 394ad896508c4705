#pragma once
// The mixed operation as the papers write it: every candidate op on its own, then the weighted sum. It is what the
// fused kernels are checked against.

#include <torch/torch.h>

#include <flowdarts/spaces/mixed_op/skip_dropout.hpp>
#include <flowdarts/spaces/supernet.hpp>
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
  /// Whether the output is the input: the skip that dropout is for.
  [[nodiscard]] virtual bool is_identity() const { return false; }
};

/// How the mixed ops of a supernet run beyond mixing, and where the pass under way is.
struct MixedOpPass {
  std::vector<std::vector<bool>> left;  ///< by matrix: row-major, whether an op is left; empty: all are
  SkipDropout dropout;
  OutputObserver observer;
  std::int64_t cell = 0;  ///< the number of the cell that runs

  /// From masks as Supernet::set_masks() takes them.
  void set_masks(const std::vector<torch::Tensor>& masks) {
    left.clear();
    for (const torch::Tensor& mask : masks) {
      const torch::Tensor host = mask.detach().to(torch::kCPU, torch::kDouble).contiguous();
      const std::span<const double> values(host.const_data_ptr<double>(), static_cast<std::size_t>(host.numel()));
      std::vector<bool>& matrix = left.emplace_back();
      for (const double value : values) matrix.push_back(value != 0.0);
    }
  }
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

  /// weights: a 0-dimensional tensor a column. Undefined where no candidate lives: zero. `pass` holds for the op
  /// weights of this row of this matrix.
  torch::Tensor forward(const torch::Tensor& x, std::span<const torch::Tensor> weights, const MixedOpPass& pass = {},
                        std::size_t matrix = 0, std::int64_t row = 0) {
    torch::Tensor sum;
    for (std::size_t k = 0; k < candidates_.size(); ++k) {
      if (!candidates_[k]) continue;
      if (!pass.left.empty() && !pass.left[matrix][static_cast<std::size_t>(row) * candidates_.size() + k]) continue;
      torch::Tensor output = candidates_[k]->forward(x);
      if (pass.observer) pass.observer(matrix, row, static_cast<std::int64_t>(k), output);
      if (pass.dropout.rate > 0 && candidates_[k]->is_identity()) {
        output = drop_skip(output, pass.dropout, pass.cell, row);
      }
      add_term(sum, output * weights[k]);
    }
    return sum;
  }

  /// The candidate of a column, or null.
  [[nodiscard]] const std::shared_ptr<CandidateOp>& candidate(std::size_t column) const { return candidates_[column]; }

 private:
  std::vector<std::shared_ptr<CandidateOp>> candidates_;
};

}  // namespace flowdarts
