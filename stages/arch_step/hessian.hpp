#pragma once

#include <torch/torch.h>

#include <functional>
#include <utility>
#include <vector>

namespace flowdarts {

/// The dominant eigenvalues of d^2 L_V / dalpha^2 over all alphas together, at fixed w: the largest signed one and the
/// one of largest magnitude (docs/methods/bdp-darts.md; RobustDARTS). Column j of the Hessian is the central difference
/// of `gradient` with radius 1e-2 along coordinate j; the matrix is made symmetric. `gradient` gives dL_V/dalpha on one
/// fixed batch at the present alphas, which are changed while it runs and restored bit for bit afterwards.
std::pair<double, double> dominant_eigenvalues(const std::vector<torch::Tensor>& alphas,
                                               const std::function<std::vector<torch::Tensor>()>& gradient);

}  // namespace flowdarts
