#pragma once

#include <cmath>
#include <cstdint>
#include <flowdarts/policies/roles.hpp>
#include <flowdarts/policies/shrinking/narrow.hpp>
#include <flowdarts/spaces/support/capabilities.hpp>
#include <flowdarts/spaces/support/error.hpp>
#include <flowdarts/spaces/support/option.hpp>
#include <flowdarts/spaces/support/preset.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace flowdarts {

/// One of the parts of a search in each of which a network of its own is trained.
struct SearchStage {
  std::int64_t index = 0;
  std::int64_t first = 0;   ///< epoch
  std::int64_t length = 0;  ///< epochs
};

/// Three stages of one length. Each trains a new, deeper supernet, with a learning rate of its own course and at first
/// without alpha, and takes the least important ops of every edge out at its end, so that the supernet comes ever
/// closer to the network that is to be found (P-DARTS, Chen et al., ICCV 2019, section 3). Dropout behind skips falls
/// within a stage and is stronger in later ones.
struct ProgressiveStages {
  using role = roles::Shrinking;
  static constexpr const char* name = "ProgressiveStages";
  static constexpr auto provides = capabilities<tags::stochastic, tags::shrinks_on_schedule>;
  static constexpr auto needs = capabilities<tags::maskable, tags::any_depth>;
  struct Options {
    BOOST_HANA_DEFINE_STRUCT(
        Options, (Option<std::int64_t, "cells that a stage has more than the one before it", 6, AtLeast{0}>, deeper),
        (Option<std::int64_t, "epochs of a stage in which alpha is not trained", 10, AtLeast{0}>, warm_up),
        (Option<std::int64_t, "ops of an edge that the first stage leaves", 5, AtLeast{2}>, keep_first),
        (Option<std::int64_t, "ops of an edge that the second stage leaves", 3, AtLeast{2}>, keep_second),
        (Option<double, "dropout behind skips at the start of the first stage", 0.1, HalfOpen{0.0, 1.0}>,
         skip_dropout_first),
        (Option<double, "of the second stage", 0.4, HalfOpen{0.0, 1.0}>, skip_dropout_second),
        (Option<double, "of the third stage", 0.7, HalfOpen{0.0, 1.0}>, skip_dropout_third));
  };

  explicit ProgressiveStages(const Options& options = {}) : options_(options) {}

  /// On NAS-Bench-201, for which the paper has no setting, the counts of ops are those of VP-DARTS' stages.
  static std::vector<Preset> presets(std::string_view space) {
    if (space == "nas-bench-201") {
      return {{.name = "paper",
               .values = {{"epochs", "75"},
                          {"cells", "1"},
                          {"shrink-deeper", "2"},
                          {"shrink-warm-up", "10"},
                          {"shrink-keep-first", "3"},
                          {"shrink-keep-second", "2"}}},
              {.name = "quick",
               .values = {{"epochs", "12"},
                          {"shrink-deeper", "0"},
                          {"shrink-warm-up", "1"},
                          {"shrink-keep-first", "3"},
                          {"shrink-keep-second", "2"}}}};
    }
    return {{.name = "paper",
             .values = {{"epochs", "75"},
                        {"batch-size", "96"},
                        {"cells", "5"},
                        {"w-lr-min", "0"},
                        {"alpha-lr", "0.0006"},
                        {"alpha-clip", "5"},
                        {"shrink-deeper", "6"},
                        {"shrink-warm-up", "10"}}},
            {.name = "imagenet", .values = {{"epochs", "75"}}},
            {.name = "quick", .values = {{"epochs", "12"}, {"shrink-deeper", "0"}, {"shrink-warm-up", "1"}}}};
  }

  void check(std::int64_t epochs) const {
    if (epochs / stages <= options_.warm_up) {
      throw InputError("--shrink-warm-up: found " + std::to_string(options_.warm_up) +
                       ", expected less than a third of --epochs, which is " + std::to_string(epochs));
    }
  }

  [[nodiscard]] static SearchStage stage_of(std::int64_t epoch, std::int64_t epochs) {
    SearchStage stage;
    while (stage.index + 1 < stages && epoch >= epochs * (stage.index + 1) / stages) ++stage.index;
    stage.first = epochs * stage.index / stages;
    stage.length = epochs * (stage.index + 1) / stages - stage.first;
    return stage;
  }

  /// Tells a space's SupernetSpec.
  template <class Spec>
  void form(Spec& spec, std::int64_t stage) const {
    spec.cells += stage * options_.deeper;
  }

  [[nodiscard]] bool trains_alpha(std::int64_t epoch, std::int64_t epochs) const {
    return epoch - stage_of(epoch, epochs).first >= options_.warm_up;
  }

  /// With p0 the stage's: p0 (n - t - 1) / n in epoch t of n while alpha is held, p0 exp(-0.2 (t - warm-up)) after
  /// that.
  [[nodiscard]] double skip_dropout(std::int64_t epoch, std::int64_t epochs) const {
    const SearchStage stage = stage_of(epoch, epochs);
    const double first[] = {options_.skip_dropout_first, options_.skip_dropout_second, options_.skip_dropout_third};
    const std::int64_t t = epoch - stage.first;
    if (t < options_.warm_up) {
      return first[stage.index] * static_cast<double>(stage.length - t - 1) / static_cast<double>(stage.length);
    }
    return first[stage.index] * std::exp(-0.2 * static_cast<double>(t - options_.warm_up));
  }

  /// `setting` offers completed(), epochs(), shapes(), masks(), scores() and set_masks(). The architecture is read off
  /// what the last stage has left.
  template <class Setting>
  void after_epoch(Setting& setting) const {
    const SearchStage stage = stage_of(setting.completed() - 1, setting.epochs());
    if (setting.completed() != stage.first + stage.length || stage.index + 1 == stages) return;
    OpMasks masks = setting.masks();
    keep_best_of_rows(masks, setting.scores(), setting.shapes(),
                      stage.index == 0 ? options_.keep_first : options_.keep_second);
    setting.set_masks(masks);
  }

 private:
  static constexpr std::int64_t stages = 3;
  Options options_;
};

}  // namespace flowdarts
