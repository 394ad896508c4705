#pragma once

#include <cstdint>
#include <flowdarts/policies/roles.hpp>
#include <flowdarts/policies/shrinking/warm_up.hpp>
#include <flowdarts/spaces/support/capabilities.hpp>
#include <flowdarts/spaces/support/option.hpp>
#include <flowdarts/spaces/support/preset.hpp>
#include <string_view>
#include <vector>

namespace flowdarts {

/// Warm-up and dropout behind skips as in VP-DARTS, but nothing is pruned before the architecture is read off at the
/// end (its ablation "hard pruning").
struct HardPrune {
  using role = roles::Shrinking;
  static constexpr const char* name = "HardPrune";
  static constexpr auto provides = capabilities<tags::stochastic>;
  static constexpr auto needs = capabilities<>;
  struct Options {
    BOOST_HANA_DEFINE_STRUCT(Options,
                             (Option<std::int64_t, "epochs in which alpha is not trained", 20, AtLeast{0}>, warm_up),
                             (Option<double, "dropout behind skips in the updates", 0.2, HalfOpen{0.0, 1.0}>,
                              skip_dropout));
  };

  explicit HardPrune(const Options& options = {}) : warm_up_(options.warm_up, options.skip_dropout) {}

  static std::vector<Preset> presets(std::string_view space) { return WarmUp::presets(space); }

  void check(std::int64_t epochs) const { warm_up_.check(epochs, 1); }
  [[nodiscard]] bool trains_alpha(std::int64_t epoch, std::int64_t /* epochs */) const { return warm_up_.over(epoch); }
  [[nodiscard]] double skip_dropout(std::int64_t /* epoch */, std::int64_t /* epochs */) const {
    return warm_up_.skip_dropout();
  }

 private:
  WarmUp warm_up_;
};

}  // namespace flowdarts
