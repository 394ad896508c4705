#pragma once

#include <flowdarts/policies/importance/gradient_mean.hpp>
#include <flowdarts/policies/roles.hpp>
#include <flowdarts/spaces/support/capabilities.hpp>
#include <flowdarts/spaces/support/option.hpp>
#include <vector>

namespace flowdarts {

/// Ranks ops by how much the validation loss would change, to first order, if the op replaced the mixture on its edge:
///   s(e,o) = mean over the epoch's arch steps of |dL_V/dalpha(e,o)|,
/// which with softmax mixing is beta(e,o) |<dL_V/dobar(e), h(e,o) - obar(e)>| (OStr-DARTS, operation strength). The
/// gradient is that of L_V alone, without regulariser and weight decay.
struct OperationStrength {
  using role = roles::Importance;
  static constexpr const char* name = "OperationStrength";
  static constexpr auto provides = capabilities<>;
  static constexpr auto needs = capabilities<tags::alpha_grad, tags::alpha_grad_is_strength>;
  using Options = NoOptions;

  explicit OperationStrength(const Options& = {}) {}

  void begin_epoch() { mean_.begin_epoch(); }
  static void check_columns(std::int64_t columns) { require_three_candidates(columns); }
  void observe_arch_gradient(const ArchGradient& arch) { mean_.add(arch.gradients); }

  /// Larger is better; none in an epoch without arch steps.
  [[nodiscard]] std::vector<torch::Tensor> scores(const std::vector<torch::Tensor>& /* op_weights */) const {
    return mean_.mean();
  }
  [[nodiscard]] std::vector<torch::Tensor> measured() const { return mean_.mean(); }

  template <class Writer>
  void save(Writer& writer) const {
    mean_.save(writer);
  }
  template <class Reader>
  void load(Reader& reader) {
    mean_.load(reader);
  }

 private:
  GradientMean mean_;
};

}  // namespace flowdarts
