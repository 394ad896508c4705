#pragma once

#include <flowdarts/policies/roles.hpp>
#include <flowdarts/spaces/support/capabilities.hpp>
#include <flowdarts/spaces/support/option.hpp>

namespace flowdarts {

/// The search ends after --epochs. A policy that stops earlier has
///   bool should_stop(std::int64_t completed_epochs, const std::string& genotype);
/// called once after each epoch with the architecture derived there.
struct FixedEpochs {
  using role = roles::Stopping;
  static constexpr const char* name = "FixedEpochs";
  static constexpr auto provides = capabilities<>;
  static constexpr auto needs = capabilities<>;
  using Options = NoOptions;

  explicit FixedEpochs(const Options& = {}) {}
};

}  // namespace flowdarts
