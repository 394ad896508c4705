#pragma once

#include <flowdarts/policies/importance/gradient_mean.hpp>
#include <flowdarts/policies/roles.hpp>
#include <flowdarts/spaces/support/capabilities.hpp>
#include <flowdarts/spaces/support/option.hpp>
#include <vector>

namespace flowdarts {

/// Ranks ops by how much the validation loss would change, to first order, if the op were taken out of the mixture:
/// mean over the epoch's arch steps of |beta(e,o) dL_V/dbeta(e,o)| (the criterion OStr-DARTS compares itself with).
struct NaivePruning {
  using role = roles::Importance;
  static constexpr const char* name = "NaivePruning";
  static constexpr auto provides = capabilities<>;
  static constexpr auto needs = capabilities<tags::alpha_grad>;
  using Options = NoOptions;

  explicit NaivePruning(const Options& = {}) {}

  void begin_epoch() { mean_.begin_epoch(); }
  void observe_arch_gradient(const ArchGradient& arch) {
    std::vector<torch::Tensor> values;
    for (std::size_t m = 0; m < arch.op_weight_gradients.size(); ++m) {
      values.push_back(arch.val.op_weights[m].detach() * arch.op_weight_gradients[m]);
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
