#pragma once

#include <flowdarts/policies/shrinking/soft_prune.hpp>

namespace flowdarts {

/// Soft pruning that grows ever stronger towards the end (VP-DARTS with adjustable K, linear).
struct SoftPruneLinear : SoftPrune<SoftPruneLinear> {
  static constexpr const char* name = "SoftPruneLinear";
  static constexpr auto provides = capabilities<tags::stochastic, tags::decays_on_schedule>;

  using SoftPrune::SoftPrune;

  /// For k = 0 .. epochs - 1: 1 - K / epochs with K = k.
  [[nodiscard]] static double factor(std::int64_t k, std::int64_t pruning_epochs) {
    return 1.0 - static_cast<double>(k) / static_cast<double>(pruning_epochs);
  }
};

}  // namespace flowdarts
