#pragma once

#include <flowdarts/policies/data_pruning/rule.hpp>
#include <flowdarts/policies/data_pruning/window.hpp>
#include <flowdarts/policies/roles.hpp>
#include <flowdarts/spaces/support/capabilities.hpp>
#include <flowdarts/spaces/support/option.hpp>
#include <flowdarts/spaces/support/preset.hpp>
#include <flowdarts/spaces/support/split.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace flowdarts {

/// BDP: every W epochs T loses the samples whose error fluctuated least over the window and V those whose error
/// fluctuated most (variance of error, VoE), within class caps that tighten as classes become unbalanced.
/// Bi-level Data Pruning for differentiable NAS, Algorithm 1; the readings are those of docs/methods/bdp-darts.md.
struct BilevelDataPruning {
  using role = roles::DataPruning;
  static constexpr const char* name = "BilevelDataPruning";
  static constexpr auto provides = capabilities<tags::prunes_train, tags::prunes_val>;
  static constexpr auto needs = capabilities<tags::val_forward, tags::fixed_split>;

  struct Options {
    BOOST_HANA_DEFINE_STRUCT(
        Options,
        (Option<std::int64_t, "W: epochs between two pruning events, and the window of the variance of error", 5,
                AtLeast{1}>,
         window),
        (Option<double, "p_t: part of the current training set to remove at an event", 0.15, HalfOpen{0.0, 1.0}>,
         ratio_train),
        (Option<double, "p_v: part of the current validation set to remove at an event", 0.15, HalfOpen{0.0, 1.0}>,
         ratio_val),
        (Option<Criterion, "which variance of error leaves the training set", Criterion::low>, criterion_train),
        (Option<Criterion, "which variance of error leaves the validation set", Criterion::high>, criterion_val),
        (Option<bool, "cap what a class may lose by the class-balance degree", true>, balance),
        (Option<bool, "pass over full classes until the count is reached (off: give back what exceeds the caps)", true>,
         refill),
        (Option<bool, "no class loses its last sample", false>, keep_one));
  };

  explicit BilevelDataPruning(Options options = {}) : options_(std::move(options)) {}

  /// Presets that end at the shares of the data the paper reports, each with its number of epochs.
  static std::vector<Preset> presets(std::string_view space) {
    const auto make = [](std::string preset, std::string help, std::string epochs, std::string window,
                         std::string train, std::string val) {
      return Preset{std::move(preset),
                    std::move(help),
                    {{"epochs", std::move(epochs)},
                     {"prune-window", std::move(window)},
                     {"prune-ratio-train", std::move(train)},
                     {"prune-ratio-val", std::move(val)}}};
    };
    const Preset paper = space == "mobilenet" ? make("paper", "", "30", "3", "0.15", "0.15")
                         : space == "darts"   ? make("paper", "", "50", "5", "0.3", "0.3")
                                              : make("paper", "", "100", "5", "0.15", "0.15");
    return {paper,
            {.name = "quick", .values = {{"prune-window", "2"}}},
            make("bdp-c10", "100 epochs, ends at 4.6 % of the data", "100", "5", "0.15", "0.15"),
            make("bdp-50", "50 epochs, ends at 4.0 %", "50", "5", "0.3", "0.3"),
            make("bdp-asym", "50 epochs, ends at 4.2 %", "50", "2", "0.1", "0.2"),
            make("bdp-mobile", "30 epochs, ends at 23 %", "30", "3", "0.15", "0.15")};
  }

  void check(std::int64_t epochs) const { window().check(epochs); }
  [[nodiscard]] bool prunes_after(std::int64_t completed, std::int64_t epochs) const {
    return window().ends_after(completed, epochs);
  }

  [[nodiscard]] PruneRule rule(Split split, std::int64_t epochs) const {
    const bool train = split == Split::train;
    return {.ratio = train ? options_.ratio_train.value : options_.ratio_val.value,
            .events = epochs / options_.window,
            .criterion = train ? options_.criterion_train.value : options_.criterion_val.value,
            .balance = options_.balance,
            .refill = options_.refill,
            .keep_one = options_.keep_one};
  }

 private:
  [[nodiscard]] PruneWindow window() const { return {options_.window}; }

  Options options_;
};

}  // namespace flowdarts
