#pragma once

#include <flowdarts/policies/capabilities.hpp>
#include <flowdarts/policies/options/option.hpp>
#include <flowdarts/policies/roles.hpp>

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
