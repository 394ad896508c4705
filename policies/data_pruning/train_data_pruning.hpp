#pragma once

#include <flowdarts/policies/data_pruning/rule.hpp>
#include <flowdarts/policies/data_pruning/window.hpp>
#include <flowdarts/policies/roles.hpp>
#include <flowdarts/spaces/support/capabilities.hpp>
#include <flowdarts/spaces/support/option.hpp>
#include <flowdarts/spaces/support/split.hpp>
#include <string>
#include <utility>

namespace flowdarts {

/// BilevelDataPruning of T alone: V, where there is one, stays whole. For orders that train no alpha, and so see no
/// errors of V.
struct TrainDataPruning {
  using role = roles::DataPruning;
  static constexpr const char* name = "TrainDataPruning";
  static constexpr auto provides = capabilities<tags::prunes_train>;
  static constexpr auto needs = capabilities<tags::fixed_split>;

  struct Options {
    BOOST_HANA_DEFINE_STRUCT(
        Options,
        (Option<std::int64_t, "W: epochs between two pruning events, and the window of the variance of error", 5,
                AtLeast{1}>,
         window),
        (Option<double, "p_t: part of the current training set to remove at an event", 0.15, HalfOpen{0.0, 1.0}>,
         ratio),
        (Option<Criterion, "which variance of error leaves", Criterion::low>, criterion),
        (Option<bool, "cap what a class may lose by the class-balance degree", true>, balance),
        (Option<bool, "pass over full classes until the count is reached (off: give back what exceeds the caps)", true>,
         refill),
        (Option<bool, "no class loses its last sample", false>, keep_one));
  };

  explicit TrainDataPruning(Options options = {}) : options_(std::move(options)) {}

  void check(std::int64_t epochs) const { window().check(epochs); }
  [[nodiscard]] bool prunes_after(std::int64_t completed, std::int64_t epochs) const {
    return window().ends_after(completed, epochs);
  }

  [[nodiscard]] PruneRule rule(Split split, std::int64_t epochs) const {
    return {.ratio = split == Split::train ? options_.ratio.value : 0.0,
            .events = epochs / options_.window,
            .criterion = options_.criterion.value,
            .balance = options_.balance,
            .refill = options_.refill,
            .keep_one = options_.keep_one};
  }

 private:
  [[nodiscard]] PruneWindow window() const { return {options_.window}; }

  Options options_;
};

}  // namespace flowdarts
