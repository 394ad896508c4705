#pragma once

#include <flowdarts/policies/importance/gradient_mean.hpp>
#include <flowdarts/policies/roles.hpp>
#include <flowdarts/spaces/support/capabilities.hpp>
#include <flowdarts/spaces/support/option.hpp>
#include <vector>

namespace flowdarts {

/// As OperationStrength, but expanded around the mixture instead of the op (OStr-DARTS*):
///   s*(e,o) = mean over the epoch's arch steps of |dL_V/dalpha(e,o)| / beta(e,o),
/// with the beta of that step's forward pass, at least 1e-12.
struct OperationStrengthStar {
  using role = roles::Importance;
  static constexpr const char* name = "OperationStrengthStar";
  static constexpr auto provides = capabilities<>;
  static constexpr auto needs = capabilities<tags::alpha_grad, tags::alpha_grad_is_strength>;
  using Options = NoOptions;

  explicit OperationStrengthStar(const Options& = {}) {}

  void begin_epoch() { mean_.begin_epoch(); }
  void observe_arch_gradient(const ArchGradient& arch) {
    std::vector<torch::Tensor> values;
    for (std::size_t m = 0; m < arch.gradients.size(); ++m) {
      values.push_back(arch.gradients[m] / arch.val.op_weights[m].detach().clamp_min(1e-12));
    }
    mean_.add(values);
  }

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
