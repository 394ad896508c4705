#pragma once

#include <torch/torch.h>

#include <flowdarts/policies/roles.hpp>
#include <flowdarts/spaces/support/capabilities.hpp>
#include <flowdarts/spaces/support/option.hpp>
#include <limits>

namespace flowdarts {

/// An edge's op weights are the softmax of its row of alpha, `none` included (DARTS, eq. 2).
struct Softmax {
  using role = roles::Relaxation;
  static constexpr const char* name = "Softmax";
  static constexpr auto provides = capabilities<tags::trainable_alpha, tags::simplex_weights, tags::softmax_mixing,
                                                tags::all_ops_run, tags::alpha_grad_is_strength, tags::maskable>;
  static constexpr auto needs = capabilities<>;
  using Options = NoOptions;
  static constexpr bool recordable = true;

  explicit Softmax(const Options& = {}) {}

  /// alpha [rows, columns] -> weights of the same shape; rows sum to 1. The row maximum is subtracted before exp.
  [[nodiscard]] torch::Tensor op_weights(const torch::Tensor& alpha) const { return torch::softmax(alpha, 1); }

  /// As above over the ops that `mask` [rows, columns] leaves, where it is 1; the others weigh 0. An edge without ops
  /// has weights of 0.
  [[nodiscard]] torch::Tensor op_weights(const torch::Tensor& alpha, const torch::Tensor& mask) const {
    const torch::Tensor gone = mask.eq(0);
    const torch::Tensor empty = gone.all(1, /*keepdim=*/true);
    const torch::Tensor rest =
        alpha.masked_fill(gone.logical_and(empty.logical_not()), -std::numeric_limits<double>::infinity());
    return torch::softmax(rest, 1).masked_fill(gone, 0.0);
  }
};

}  // namespace flowdarts
