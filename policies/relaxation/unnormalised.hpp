#pragma once

#include <torch/torch.h>

#include <flowdarts/policies/roles.hpp>
#include <flowdarts/spaces/support/capabilities.hpp>
#include <flowdarts/spaces/support/option.hpp>

namespace flowdarts {

/// An edge's op weights are its row of alpha as it is, of any sign (VP-DARTS, eq. 1). All start equal, at 1 over the
/// number of ops.
struct Unnormalised {
  using role = roles::Relaxation;
  static constexpr const char* name = "Unnormalised";
  static constexpr auto provides =
      capabilities<tags::trainable_alpha, tags::all_ops_run, tags::removable_by_zero, tags::maskable>;
  static constexpr auto needs = capabilities<>;
  using Options = NoOptions;

  explicit Unnormalised(const Options& = {}) {}

  /// alpha [rows, columns] -> weights of the same shape.
  [[nodiscard]] torch::Tensor op_weights(const torch::Tensor& alpha) const { return alpha.view_as(alpha); }
  /// 0 where mask is.
  [[nodiscard]] torch::Tensor op_weights(const torch::Tensor& alpha, const torch::Tensor& mask) const {
    return alpha * mask;
  }

  /// The value at which every alpha of an edge of that many ops starts.
  [[nodiscard]] double initial_alpha(std::int64_t columns) const { return 1.0 / static_cast<double>(columns); }
};

}  // namespace flowdarts
