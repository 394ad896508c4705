#pragma once

#include <flowdarts/policies/shrinking/soft_prune.hpp>

namespace flowdarts {

/// Soft pruning that lets unimportant ops start again at an alpha of 0 every epoch (VP-DARTS with fixed K).
struct SoftPruneFixed : SoftPrune<SoftPruneFixed> {
  static constexpr const char* name = "SoftPruneFixed";
  static constexpr auto provides = capabilities<tags::stochastic>;

  using SoftPrune::SoftPrune;

  /// 1 - K / epochs with K = epochs.
  [[nodiscard]] static double factor(std::int64_t /* k */, std::int64_t /* pruning_epochs */) { return 0.0; }
};

}  // namespace flowdarts
