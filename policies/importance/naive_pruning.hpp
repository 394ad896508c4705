#pragma once

#include <flowdarts/policies/importance/gradient_importance.hpp>
#include <flowdarts/spaces/support/capabilities.hpp>
#include <vector>

namespace flowdarts {

/// Ranks ops by how much the validation loss would change, to first order, if the op were taken out of the mixture:
/// mean over the epoch's arch steps of |beta(e,o) dL_V/dbeta(e,o)| (the criterion OStr-DARTS compares itself with).
struct NaivePruning : GradientImportance {
  static constexpr const char* name = "NaivePruning";
  static constexpr auto provides = capabilities<>;
  static constexpr auto needs = capabilities<tags::alpha_grad>;

  explicit NaivePruning(const Options& = {}) {}

  void observe_arch_gradient(const ArchGradient& arch) {
    std::vector<torch::Tensor> values;
    for (std::size_t m = 0; m < arch.op_weight_gradients.size(); ++m) {
      values.push_back(arch.val.op_weights[m].detach() * arch.op_weight_gradients[m]);
    }
    add(values);
  }
};

}  // namespace flowdarts
