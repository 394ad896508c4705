#pragma once

#include <cstdint>
#include <flowdarts/policies/roles.hpp>
#include <flowdarts/policies/shrinking/soft_prune.hpp>
#include <flowdarts/policies/shrinking/warm_up.hpp>
#include <flowdarts/spaces/support/capabilities.hpp>
#include <flowdarts/spaces/support/option.hpp>
#include <flowdarts/spaces/support/preset.hpp>
#include <string_view>
#include <vector>

namespace flowdarts {

/// After a warm-up, at the start of every epoch, the alphas of all ops but the most important one of an edge shrink,
/// ever more strongly towards the end; they are trained on and may come back (VP-DARTS with adjustable K, linear).
struct SoftPruneLinear {
  using role = roles::Shrinking;
  static constexpr const char* name = "SoftPruneLinear";
  static constexpr auto provides = capabilities<tags::stochastic, tags::decays_on_schedule>;
  static constexpr auto needs = capabilities<tags::removable_by_zero>;
  struct Options {
    BOOST_HANA_DEFINE_STRUCT(
        Options,
        (Option<std::int64_t, "epochs in which alpha is not trained and nothing is pruned", 20, AtLeast{0}>, warm_up),
        (Option<double, "dropout behind skips in the updates", 0.2, HalfOpen{0.0, 1.0}>, skip_dropout));
  };

  explicit SoftPruneLinear(const Options& options = {}) : warm_up_(options.warm_up, options.skip_dropout) {}

  static std::vector<Preset> presets(std::string_view /* space */) { return WarmUp::presets(); }

  void check(std::int64_t epochs) const { warm_up_.check(epochs, 1); }
  [[nodiscard]] bool trains_alpha(std::int64_t epoch, std::int64_t /* epochs */) const { return warm_up_.over(epoch); }
  [[nodiscard]] double skip_dropout(std::int64_t /* epoch */, std::int64_t /* epochs */) const {
    return warm_up_.skip_dropout();
  }

  /// What is left of an unimportant alpha at the start of pruning epoch k = 0 .. epochs - 1: 1 - K / epochs with K = k.
  [[nodiscard]] static double factor(std::int64_t k, std::int64_t pruning_epochs) {
    return 1.0 - static_cast<double>(k) / static_cast<double>(pruning_epochs);
  }

  /// `setting` offers completed(), epochs(), shapes(), masks(), scores() and alphas().
  template <class Setting>
  void before_epoch(Setting& setting) const {
    if (!warm_up_.over(setting.completed())) return;
    const double left = factor(setting.completed() - warm_up_.epochs(), setting.epochs() - warm_up_.epochs());
    decay_all_but_best(setting.alphas(), setting.scores(), setting.shapes(), left);
  }

 private:
  WarmUp warm_up_;
};

}  // namespace flowdarts
