#pragma once
// MobileNet-like chains whose network may cost only so much. No LibTorch.

#include <flowdarts/spaces/budget.hpp>
#include <flowdarts/spaces/mobilenet/count.hpp>
#include <optional>
#include <vector>

namespace flowdarts::mobilenet {

/// Of the chains whose stand-alone network is within the budget, the one of the largest sum of scores, a row a layer;
/// none where there is none. Without a budget it is derive()'s. Throws InputError as derive().
std::optional<Genotype> derive_within(const std::vector<std::vector<double>>& scores, const Budget& budget,
                                      const NetworkShape& shape = {});

/// The least that a chain's network can cost.
NetworkCost least_cost(const NetworkShape& shape = {});

}  // namespace flowdarts::mobilenet
