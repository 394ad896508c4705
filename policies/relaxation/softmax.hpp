#pragma once

#include <torch/torch.h>

#include <flowdarts/policies/roles.hpp>
#include <flowdarts/spaces/support/capabilities.hpp>
#include <flowdarts/spaces/support/option.hpp>

namespace flowdarts {

/// An edge's op weights are the softmax of its row of alpha, `none` included (DARTS, eq. 2).
struct Softmax {
  using role = roles::Relaxation;
  static constexpr const char* name = "Softmax";
  static constexpr auto provides =
      capabilities<tags::trainable_alpha, tags::simplex_weights, tags::all_ops_run, tags::alpha_grad_is_strength>;
  static constexpr auto needs = capabilities<>;
  using Options = NoOptions;
  static constexpr bool recordable = true;

  explicit Softmax(const Options& = {}) {}

  /// alpha [rows, columns] -> weights of the same shape; rows sum to 1. The row maximum is subtracted before exp.
  [[nodiscard]] torch::Tensor op_weights(const torch::Tensor& alpha) const { return torch::softmax(alpha, 1); }
};

}  // namespace flowdarts
