#pragma once

#include <torch/torch.h>

#include <flowdarts/policies/roles.hpp>
#include <flowdarts/spaces/support/capabilities.hpp>
#include <flowdarts/spaces/support/option.hpp>

namespace flowdarts {

/// Ranks candidate ops by their mixing weight (DARTS, section 2.4). For softmax the order is that of alpha itself.
struct Magnitude {
  using role = roles::Importance;
  static constexpr const char* name = "Magnitude";
  static constexpr auto provides = capabilities<>;
  static constexpr auto needs = capabilities<tags::trainable_alpha>;
  using Options = NoOptions;

  explicit Magnitude(const Options& = {}) {}

  /// Larger is better. weights: the relaxation of alpha; both [rows, columns].
  [[nodiscard]] torch::Tensor scores(const torch::Tensor& alpha, const torch::Tensor& weights) const {
    (void)alpha;
    return weights;
  }
};

}  // namespace flowdarts
