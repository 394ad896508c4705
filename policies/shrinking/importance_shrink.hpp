#pragma once

#include <cstdint>
#include <flowdarts/policies/is_darts_preset.hpp>
#include <flowdarts/policies/roles.hpp>
#include <flowdarts/policies/shrinking/narrow.hpp>
#include <flowdarts/spaces/support/capabilities.hpp>
#include <flowdarts/spaces/support/error.hpp>
#include <flowdarts/spaces/support/option.hpp>
#include <flowdarts/spaces/support/preset.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace flowdarts {

/// Narrows the supernet for good in S steps, I epochs apart, the last one I epochs before the end: in step s = 0 .. S -
/// 1 every group of competing ops loses its ceil((left - keep) / (S - s)) least important ones, so that after the last
/// step what is left is the architecture (IS-DARTS, section 3.2; S-DARTS with alpha as importance). Where no node keeps
/// `none`, that goes first.
struct ImportanceShrink {
  using role = roles::Shrinking;
  static constexpr const char* name = "ImportanceShrink";
  static constexpr auto provides =
      capabilities<tags::shrinks_on_schedule, tags::selects_by_group, tags::leaves_architecture>;
  static constexpr auto needs = capabilities<tags::maskable>;
  struct Options {
    BOOST_HANA_DEFINE_STRUCT(
        Options, (Option<std::int64_t, "S: steps in which ops are taken out", 4, AtLeast{1}>, steps),
        (Option<std::int64_t, "I: epochs between two steps, and from the last one to the end", 2, AtLeast{1}>,
         interval));
  };

  explicit ImportanceShrink(const Options& options = {}) : steps_(options.steps), interval_(options.interval) {}

  /// The paper knows nothing of the MobileNet-like space: an op of a layer goes in a step, as on NAS-Bench-201 one of
  /// an edge.
  static std::vector<Preset> presets(std::string_view space) {
    const bool chain = space == "mobilenet", cells = space == "darts";
    Preset paper = is_darts_preset(space);
    paper.values.emplace_back("shrink-steps", chain ? "6" : cells ? "7" : "4");
    paper.values.emplace_back("shrink-interval", cells ? "3" : "2");
    return {std::move(paper),
            {.name = "quick",
             .values = {{"shrink-steps", chain ? "6" : "4"}, {"shrink-interval", "1"}, {"w-nesterov", "true"}}}};
  }

  /// Throws InputError when the steps do not fit the search.
  void check(std::int64_t epochs) const {
    if (steps_ * interval_ >= epochs) {
      throw InputError("--shrink-steps times --shrink-interval: found " + std::to_string(steps_ * interval_) +
                       ", expected less than --epochs, which is " + std::to_string(epochs));
    }
  }

  /// The step s that follows so many completed epochs: after E - (S - s) I.
  [[nodiscard]] std::optional<std::int64_t> step_after(std::int64_t completed, std::int64_t epochs) const {
    const std::int64_t left = epochs - completed;
    if (left <= 0 || left % interval_ != 0 || left / interval_ > steps_) return std::nullopt;
    return steps_ - left / interval_;
  }

  /// `setting` offers completed(), epochs(), shapes(), groups(), masks(), scores() and set_masks().
  template <class Setting>
  void after_epoch(Setting& setting) const {
    const auto step = step_after(setting.completed(), setting.epochs());
    if (!step) return;
    OpMasks masks = setting.masks();
    narrow(masks, setting.scores(), setting.groups(), setting.shapes(), steps_ - *step);
    setting.set_masks(masks);
  }

 private:
  std::int64_t steps_, interval_;
};

}  // namespace flowdarts
