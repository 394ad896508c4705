#pragma once

#include <flowdarts/policies/roles.hpp>
#include <flowdarts/spaces/support/capabilities.hpp>
#include <flowdarts/spaces/support/option.hpp>

namespace flowdarts {

/// No arch step: all images train w, and there is no V (IS-DARTS).
struct SingleLevel {
  using role = roles::Bilevel;
  static constexpr const char* name = "SingleLevel";
  static constexpr auto provides = capabilities<tags::weights_only, tags::all_data_trains>;
  static constexpr auto needs = capabilities<>;
  using Options = NoOptions;

  explicit SingleLevel(const Options& = {}) {}
};

}  // namespace flowdarts
