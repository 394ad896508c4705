#pragma once

#include <flowdarts/policies/roles.hpp>
#include <flowdarts/spaces/support/capabilities.hpp>
#include <flowdarts/spaces/support/option.hpp>

namespace flowdarts {

/// No extra loss on alpha. A regulariser has, in its place,
///   torch::Tensor loss(const std::vector<torch::Tensor>& alphas, std::int64_t epoch) const;
/// a scalar that the arch step adds to L_V (epoch counts from 0), or loss(alphas, masks, epoch) where it matters which
/// ops are left.
struct NoArchRegularizer {
  using role = roles::ArchRegularizer;
  static constexpr const char* name = "None";
  static constexpr auto provides = capabilities<>;
  static constexpr auto needs = capabilities<>;
  using Options = NoOptions;

  explicit NoArchRegularizer(const Options& = {}) {}
};

}  // namespace flowdarts
