#pragma once

#include <flowdarts/policies/bilevel/problem.hpp>
#include <flowdarts/policies/roles.hpp>
#include <flowdarts/spaces/support/capabilities.hpp>
#include <flowdarts/spaces/support/option.hpp>

namespace flowdarts {

/// Differentiates through one virtual weight step (DARTS, eq. 6 to 8): the arch gradient is taken at
/// w' = w - xi (mu buf + dL_T/dw + wd w), and the second-order term is a central difference on the same T batch.
struct SecondOrder {
  using role = roles::Bilevel;
  static constexpr const char* name = "SecondOrder";
  static constexpr auto provides =
      capabilities<tags::val_forward, tags::held_out_val, tags::alpha_grad, tags::unrolled>;
  static constexpr auto needs = capabilities<tags::trainable_alpha>;
  struct Options {
    BOOST_HANA_DEFINE_STRUCT(
        Options,
        (Option<double, "radius of the finite difference: eps = radius / ||dL_V/dw'||", 0.01, Above{0.0}>, radius));
  };
  static constexpr bool needs_train_batch = true;

  explicit SecondOrder(const Options& options = {}) : radius_(options.radius) {}

  /// One pass on T, one on V at w', two on T for the difference. w is restored bit for bit, also when a pass throws;
  /// running statistics move only in the pass on V. Where ||dL_V/dw'|| < 1e-12 the second-order term is 0. Never waits
  /// for a GPU.
  [[nodiscard]] ArchGradient arch_gradient(const BilevelProblem& problem) const;

 private:
  double radius_;
};

}  // namespace flowdarts
