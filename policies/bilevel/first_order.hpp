#pragma once

#include <flowdarts/policies/bilevel/problem.hpp>
#include <flowdarts/policies/roles.hpp>
#include <flowdarts/spaces/support/capabilities.hpp>
#include <flowdarts/spaces/support/option.hpp>
#include <utility>
#include <vector>

namespace flowdarts {

/// Alternates an arch step on V and a weight step on T, taking the present w for the best response w*(alpha): the arch
/// gradient is dL_V(w, alpha)/dalpha (DARTS, section 2.3 with xi = 0).
struct FirstOrder {
  using role = roles::Bilevel;
  static constexpr const char* name = "FirstOrder";
  static constexpr auto provides = capabilities<tags::val_forward, tags::held_out_val, tags::alpha_grad>;
  static constexpr auto needs = capabilities<tags::trainable_alpha>;
  using Options = NoOptions;
  static constexpr bool needs_train_batch = false;
  static constexpr bool recordable = true;

  explicit FirstOrder(const Options& = {}) {}

  /// One forward and one backward pass on V. No weight gradient is computed.
  [[nodiscard]] ArchGradient arch_gradient(const BilevelProblem& problem) const {
    Evaluation val = problem.val_loss();
    std::vector<torch::Tensor> inputs = problem.alphas;
    inputs.insert(inputs.end(), val.op_weights.begin(), val.op_weights.end());
    std::vector<torch::Tensor> gradients = problem.gradients(val, inputs);
    std::vector<torch::Tensor> of_alphas = take_front(gradients, problem.alphas.size());
    return {std::move(of_alphas), std::move(gradients), std::move(val)};
  }
};

}  // namespace flowdarts
