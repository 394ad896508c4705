#pragma once
// NAS-Bench-201 cells whose network may cost only so much. No LibTorch.

#include <flowdarts/spaces/budget.hpp>
#include <flowdarts/spaces/nas_bench_201/count.hpp>
#include <optional>
#include <span>

namespace flowdarts::nas_bench_201 {

/// Of the cells whose stand-alone network is within the budget, the one of the largest sum of scores [6 edges, 5 ops],
/// row-major; none where there is none. Without a budget it is derive()'s. Throws InputError as derive().
std::optional<Genotype> derive_within(std::span<const double> scores, const Budget& budget,
                                      const NetworkShape& shape = {});

/// The least that a cell's network can cost.
NetworkCost least_cost(const NetworkShape& shape = {});

}  // namespace flowdarts::nas_bench_201
