#pragma once

#include <torch/torch.h>

#include <flowdarts/policies/shrinking/narrow.hpp>
#include <span>
#include <vector>

namespace flowdarts {

/// Multiplies every alpha but that of its row's largest score (the first of equal ones) by `factor` (VP-DARTS, eq. 2).
inline void decay_all_but_best(const std::vector<torch::Tensor>& alphas, const OpScores& scores,
                               std::span<const ArchShape> shapes, double factor) {
  const torch::NoGradGuard no_grad;
  for (std::size_t m = 0; m < alphas.size(); ++m) {
    const auto columns = static_cast<std::size_t>(shapes[m].columns);
    std::vector<double> factors(scores[m].size(), factor);
    for (std::size_t first = 0; first < factors.size(); first += columns) {
      const auto row = std::span(scores[m]).subspan(first, columns);
      factors[first + static_cast<std::size_t>(std::ranges::max_element(row) - row.begin())] = 1.0;
    }
    torch::Tensor alpha = alphas[m];
    alpha.mul_(torch::tensor(factors, torch::kDouble).view(alpha.sizes()).to(alpha.options()));
  }
}

}  // namespace flowdarts
