#pragma once

#include <torch/torch.h>

#include <flowdarts/policies/roles.hpp>
#include <flowdarts/spaces/support/capabilities.hpp>
#include <flowdarts/spaces/support/option.hpp>

namespace flowdarts {

/// No alpha: an op that is left weighs 1 over the number of candidate ops of its edge, whether those are left or not;
/// the others weigh 0 (IS-DARTS' code).
struct Masked {
  using role = roles::Relaxation;
  static constexpr const char* name = "Masked";
  static constexpr auto provides = capabilities<tags::all_ops_run, tags::maskable>;
  static constexpr auto needs = capabilities<>;
  using Options = NoOptions;

  explicit Masked(const Options& = {}) {}

  /// mask [rows, columns] of 0 and 1 -> weights of the same shape.
  [[nodiscard]] torch::Tensor op_weights(const torch::Tensor& mask) const {
    return mask / static_cast<double>(mask.size(1));
  }
};

}  // namespace flowdarts
