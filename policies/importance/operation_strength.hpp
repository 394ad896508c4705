#pragma once

#include <flowdarts/policies/importance/gradient_importance.hpp>
#include <flowdarts/spaces/support/capabilities.hpp>
#include <vector>

namespace flowdarts {

/// Ranks ops by how much the validation loss would change, to first order, if the op replaced the mixture on its edge:
///   s(e,o) = mean over the epoch's arch steps of |dL_V/dalpha(e,o)|,
/// which with softmax mixing is beta(e,o) |<dL_V/dobar(e), h(e,o) - obar(e)>| (OStr-DARTS, operation strength). The
/// gradient is that of L_V alone, without regulariser and weight decay.
struct OperationStrength : GradientImportance {
  static constexpr const char* name = "OperationStrength";
  static constexpr auto provides = capabilities<>;
  static constexpr auto needs = capabilities<tags::alpha_grad, tags::alpha_grad_is_strength>;

  explicit OperationStrength(const Options& = {}) {}

  static void check_columns(std::int64_t columns) { require_three_candidates(columns); }
  void observe_arch_gradient(const ArchGradient& arch) { add(arch.gradients); }
};

}  // namespace flowdarts
