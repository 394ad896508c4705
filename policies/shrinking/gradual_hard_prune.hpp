#pragma once

#include <cstdint>
#include <flowdarts/policies/roles.hpp>
#include <flowdarts/policies/shrinking/narrow.hpp>
#include <flowdarts/policies/shrinking/warm_up.hpp>
#include <flowdarts/spaces/support/capabilities.hpp>
#include <flowdarts/spaces/support/option.hpp>
#include <flowdarts/spaces/support/preset.hpp>
#include <string_view>
#include <vector>

namespace flowdarts {

/// Warm-up and dropout behind skips as in VP-DARTS; the epochs that follow are three stages of one length, at whose
/// ends the least important ops of every edge are taken out for good, in the last one all but one (its ablation
/// "gradual hard pruning").
struct GradualHardPrune {
  using role = roles::Shrinking;
  static constexpr const char* name = "GradualHardPrune";
  static constexpr auto provides = capabilities<tags::stochastic, tags::shrinks_on_schedule, tags::leaves_architecture>;
  static constexpr auto needs = capabilities<tags::maskable>;
  struct Options {
    BOOST_HANA_DEFINE_STRUCT(
        Options,
        (Option<std::int64_t, "epochs in which alpha is not trained and nothing is pruned", 20, AtLeast{0}>, warm_up),
        (Option<double, "dropout behind skips in the updates", 0.2, HalfOpen{0.0, 1.0}>, skip_dropout),
        (Option<std::int64_t, "ops of an edge that the first stage leaves", 3, AtLeast{1}>, keep_first),
        (Option<std::int64_t, "ops of an edge that the second stage leaves", 2, AtLeast{1}>, keep_second));
  };

  explicit GradualHardPrune(const Options& options = {})
      : warm_up_(options.warm_up, options.skip_dropout), keep_{options.keep_first, options.keep_second, 1} {}

  /// On the DARTS space, for which the paper has no setting, an edge has as many ops as P-DARTS' stages leave.
  static std::vector<Preset> presets(std::string_view space) {
    std::vector<Preset> presets = WarmUp::presets(space);
    const bool eight = space == "darts";
    for (Preset& preset : presets) {
      preset.values.emplace_back("shrink-keep-first", eight ? "5" : "3");
      preset.values.emplace_back("shrink-keep-second", eight ? "3" : "2");
    }
    return presets;
  }

  void check(std::int64_t epochs) const { warm_up_.check(epochs, stages); }
  [[nodiscard]] bool trains_alpha(std::int64_t epoch, std::int64_t /* epochs */) const { return warm_up_.over(epoch); }
  [[nodiscard]] double skip_dropout(std::int64_t /* epoch */, std::int64_t /* epochs */) const {
    return warm_up_.skip_dropout();
  }

  /// The completed epochs after which stage i = 0, 1, 2 ends.
  [[nodiscard]] std::int64_t end_of_stage(std::int64_t stage, std::int64_t epochs) const {
    return warm_up_.epochs() + (epochs - warm_up_.epochs()) * (stage + 1) / stages;
  }

  /// `setting` offers completed(), epochs(), shapes(), masks(), scores() and set_masks().
  template <class Setting>
  void after_epoch(Setting& setting) const {
    for (std::int64_t stage = 0; stage < stages; ++stage) {
      if (setting.completed() != end_of_stage(stage, setting.epochs())) continue;
      OpMasks masks = setting.masks();
      keep_best_of_rows(masks, setting.scores(), setting.shapes(), keep_[stage]);
      setting.set_masks(masks);
    }
  }

 private:
  static constexpr std::int64_t stages = 3;
  WarmUp warm_up_;
  std::int64_t keep_[stages];
};

}  // namespace flowdarts
