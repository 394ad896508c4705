#pragma once

#include <flowdarts/policies/roles.hpp>
#include <flowdarts/spaces/support/capabilities.hpp>
#include <flowdarts/spaces/support/option.hpp>

namespace flowdarts {

/// The supernet keeps all candidate ops to the end.
struct NoShrinking {
  using role = roles::Shrinking;
  static constexpr const char* name = "None";
  static constexpr auto provides = capabilities<>;
  static constexpr auto needs = capabilities<>;
  using Options = NoOptions;

  explicit NoShrinking(const Options& = {}) {}
};

}  // namespace flowdarts
