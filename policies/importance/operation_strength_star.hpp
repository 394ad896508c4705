#pragma once

#include <flowdarts/policies/importance/gradient_importance.hpp>
#include <flowdarts/spaces/support/capabilities.hpp>
#include <vector>

namespace flowdarts {

/// As OperationStrength, but expanded around the mixture instead of the op (OStr-DARTS*):
///   s*(e,o) = mean over the epoch's arch steps of |dL_V/dalpha(e,o)| / beta(e,o),
/// with the beta of that step's forward pass, at least 1e-12.
struct OperationStrengthStar : GradientImportance {
  static constexpr const char* name = "OperationStrengthStar";
  static constexpr auto provides = capabilities<>;
  static constexpr auto needs = capabilities<tags::alpha_grad, tags::alpha_grad_is_strength>;

  explicit OperationStrengthStar(const Options& = {}) {}

  void observe_arch_gradient(const ArchGradient& arch) {
    std::vector<torch::Tensor> values;
    for (std::size_t m = 0; m < arch.gradients.size(); ++m) {
      values.push_back(arch.gradients[m] / arch.val.op_weights[m].detach().clamp_min(1e-12));
    }
    add(values);
  }
};

}  // namespace flowdarts
