#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <flowdarts/policies/roles.hpp>
#include <flowdarts/policies/shrinking/narrow.hpp>
#include <flowdarts/policies/shrinking/warm_up.hpp>
#include <flowdarts/spaces/support/capabilities.hpp>
#include <flowdarts/spaces/support/option.hpp>
#include <flowdarts/spaces/support/preset.hpp>
#include <span>
#include <string_view>
#include <vector>

namespace flowdarts {

/// Multiplies every alpha but that of its row's largest score (the first of equal ones) by `factor` (VP-DARTS, eq. 2).
inline void decay_all_but_best(const std::vector<torch::Tensor>& alphas, const OpScores& scores,
                               std::span<const ArchShape> shapes, double factor) {
  const torch::NoGradGuard no_grad;
  for (std::size_t m = 0; m < alphas.size(); ++m) {
    const auto columns = static_cast<std::size_t>(shapes[m].columns);
    std::vector<double> factors(scores[m].size(), factor);
    for (std::size_t first = 0; first < factors.size(); first += columns) {
      const auto row = std::span(scores[m]).subspan(first, columns);
      factors[first + static_cast<std::size_t>(std::ranges::max_element(row) - row.begin())] = 1.0;
    }
    torch::Tensor alpha = alphas[m];
    alpha.mul_(torch::tensor(factors, torch::kDouble).view(alpha.sizes()).to(alpha.options()));
  }
}

/// After a warm-up, at the start of every epoch, the alphas of all ops but the most important one of an edge shrink;
/// they are trained on and may come back (VP-DARTS). Policy::factor(k, pruning_epochs) says what is left of them at the
/// start of pruning epoch k of so many.
template <class Policy>
class SoftPrune {
 public:
  using role = roles::Shrinking;
  static constexpr auto needs = capabilities<tags::removable_by_zero>;
  struct Options {
    BOOST_HANA_DEFINE_STRUCT(
        Options,
        (Option<std::int64_t, "epochs in which alpha is not trained and nothing is pruned", 20, AtLeast{0}>, warm_up),
        (Option<double, "dropout behind skips in the updates", 0.2, HalfOpen{0.0, 1.0}>, skip_dropout));
  };

  explicit SoftPrune(const Options& options = {}) : warm_up_(options.warm_up, options.skip_dropout) {}

  static std::vector<Preset> presets(std::string_view space) { return WarmUp::presets(space); }

  void check(std::int64_t epochs) const { warm_up_.check(epochs, 1); }
  [[nodiscard]] bool trains_alpha(std::int64_t epoch, std::int64_t /* epochs */) const { return warm_up_.over(epoch); }
  [[nodiscard]] double skip_dropout(std::int64_t /* epoch */, std::int64_t /* epochs */) const {
    return warm_up_.skip_dropout();
  }

  /// `setting` offers completed(), epochs(), shapes(), scores() and alphas().
  template <class Setting>
  void before_epoch(Setting& setting) const {
    if (!warm_up_.over(setting.completed())) return;
    const double left = Policy::factor(setting.completed() - warm_up_.epochs(), setting.epochs() - warm_up_.epochs());
    decay_all_but_best(setting.alphas(), setting.scores(), setting.shapes(), left);
  }

 private:
  WarmUp warm_up_;
};

}  // namespace flowdarts
