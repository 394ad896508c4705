#pragma once

#include <flowdarts/policies/roles.hpp>
#include <flowdarts/spaces/support/capabilities.hpp>
#include <flowdarts/spaces/support/option.hpp>

namespace flowdarts {

/// Every sample stays.
struct NoDataPruning {
  using role = roles::DataPruning;
  static constexpr const char* name = "None";
  static constexpr auto provides = capabilities<>;
  static constexpr auto needs = capabilities<>;
  using Options = NoOptions;

  explicit NoDataPruning(const Options& = {}) {}
};

}  // namespace flowdarts
