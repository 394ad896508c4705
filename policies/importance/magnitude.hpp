#pragma once

#include <torch/torch.h>

#include <flowdarts/policies/roles.hpp>
#include <flowdarts/spaces/support/capabilities.hpp>
#include <flowdarts/spaces/support/option.hpp>
#include <vector>

namespace flowdarts {

/// Ranks ops by the weight that alpha gives them (DARTS, section 2.4), or by its absolute value where weights may be
/// negative. A measure that is not known at every moment gives no matrices until it is; one that takes passes of its
/// own has, beside scores(),
///   void measure(Setting& setting);
///   bool measures_after(std::int64_t completed_epochs) const;
/// (see ValidationAccuracy).
struct Magnitude {
  using role = roles::Importance;
  static constexpr const char* name = "Magnitude";
  static constexpr auto provides = capabilities<tags::scores_are_weights>;
  static constexpr auto needs = capabilities<tags::trainable_alpha>;
  using Options = NoOptions;

  explicit Magnitude(const Options& = {}) {}

  /// Larger is better. op_weights: the relaxation of alpha, matrices [rows, columns]; as many of the same sizes.
  [[nodiscard]] std::vector<torch::Tensor> scores(const std::vector<torch::Tensor>& op_weights) const {
    std::vector<torch::Tensor> sizes;
    for (const torch::Tensor& matrix : op_weights) sizes.push_back(matrix.abs());
    return sizes;
  }
};

}  // namespace flowdarts
