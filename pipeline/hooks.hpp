#pragma once
// The hooks by which policies train, shrink and rank the architecture; docs/architecture.md says where in the loop each
// is called. A hook that a policy does not have costs nothing.

#include <torch/torch.h>

#include <concepts>
#include <cstdint>
#include <flowdarts/pipeline/measurements.hpp>
#include <flowdarts/policies/bilevel/problem.hpp>
#include <flowdarts/policies/shrinking/narrow.hpp>
#include <flowdarts/policies/shrinking/progressive_stages.hpp>
#include <vector>

namespace flowdarts {

/// H1: there are epochs in which alpha is not trained, and V not visited.
template <class P>
concept HoldsAlpha = requires(const P& policy, std::int64_t epoch) {
  { policy.trains_alpha(epoch, epoch) } -> std::convertible_to<bool>;
};
/// H1: updates drop out behind skips.
template <class P>
concept DropsSkips = requires(const P& policy, std::int64_t epoch) {
  { policy.skip_dropout(epoch, epoch) } -> std::convertible_to<double>;
};
/// H1: parts the search in stages, each with a network, optimisers and a learning rate's course of its own.
template <class P>
concept PartsSearch = requires(const P& policy, std::int64_t epoch) {
  { policy.stage_of(epoch, epoch) } -> std::convertible_to<SearchStage>;
};
/// Before the loop: changes what a space's supernet is built from.
template <class P, class Spec>
concept FormsSupernet = requires(const P& policy, Spec& spec) {
  policy.form(spec);
};
template <class P, class Spec>
concept FormsStages = requires(const P& policy, Spec& spec, std::int64_t stage) {
  policy.form(spec, stage);
};
/// H2: changes alpha before an epoch.
template <class P, class Setting>
concept ShrinksBeforeEpoch = requires(const P& policy, Setting& setting) {
  policy.before_epoch(setting);
};
/// H8: takes ops out after an epoch.
template <class P, class Setting>
concept ShrinksAfterEpoch = requires(const P& policy, Setting& setting) {
  policy.after_epoch(setting);
};
/// H3: forgets what it counts an epoch.
template <class P>
concept CountsByEpoch = requires(P& policy) {
  policy.begin_epoch();
};
/// H4b: reads dL_V/dalpha before the regulariser and Adam touch it.
template <class P>
concept ObservesArchGradient = requires(P& policy, const ArchGradient& arch) {
  policy.observe_arch_gradient(arch);
};
/// H8, H9: takes forward passes of its own.
template <class P>
concept MeasuresImportance = requires(P& policy, Measurements& setting, std::int64_t completed) {
  policy.measure(setting);
  { policy.measures_after(completed) } -> std::convertible_to<bool>;
};
/// What an importance shows of itself in the record.
template <class P>
concept ShowsMeasured = requires(const P& policy) {
  policy.measured();
};
/// Of what it shows, the lowest values are those of the best ops.
template <class P>
concept LowIsImportant = P::low_is_important;
/// Ranks only where edges have enough candidates.
template <class P>
concept ChecksColumns = requires(std::int64_t columns) {
  P::check_columns(columns);
};

}  // namespace flowdarts
