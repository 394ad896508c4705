#pragma once
// How well one list of numbers ranks what another one ranks: two coefficients from -1 (reversed) to 1 (the same order)
// that know ties. Infinities are numbers like others; NaN has no rank and must not occur.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <optional>
#include <span>
#include <stdexcept>
#include <vector>

namespace flowdarts {

/// Kendall's tau-b (Kendall, "The treatment of ties in ranking problems", Biometrika 1945):
///   (concordant - discordant pairs) / sqrt(pairs not tied in x * pairs not tied in y).
/// None where all of x or all of y are equal, as with fewer than two numbers. Takes n^2 / 2 comparisons. Throws
/// std::invalid_argument where the sizes differ.
inline std::optional<double> kendall_tau_b(std::span<const double> x, std::span<const double> y) {
  if (x.size() != y.size()) throw std::invalid_argument("rank correlation of lists of two sizes");
  const auto order = [](double a, double b) { return (a > b) - (a < b); };
  std::int64_t difference = 0, untied_x = 0, untied_y = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      const int in_x = order(x[i], x[j]), in_y = order(y[i], y[j]);
      difference += in_x * in_y;
      untied_x += in_x != 0;
      untied_y += in_y != 0;
    }
  }
  if (untied_x == 0 || untied_y == 0) return std::nullopt;
  return static_cast<double>(difference) / std::sqrt(static_cast<double>(untied_x) * static_cast<double>(untied_y));
}

/// Ranks from 1, the lowest number first; equal ones share the mean of their ranks.
inline std::vector<double> mean_ranks(std::span<const double> values) {
  std::vector<std::size_t> order(values.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::sort(order, {}, [&](std::size_t i) { return values[i]; });
  std::vector<double> ranks(values.size());
  for (std::size_t first = 0, end = 0; first < order.size(); first = end) {
    while (end < order.size() && values[order[end]] == values[order[first]]) ++end;
    for (std::size_t k = first; k < end; ++k) ranks[order[k]] = static_cast<double>(first + 1 + end) / 2;
  }
  return ranks;
}

/// Spearman's rho: the linear correlation of the mean ranks. None and throws as above.
inline std::optional<double> spearman_rho(std::span<const double> x, std::span<const double> y) {
  if (x.size() != y.size()) throw std::invalid_argument("rank correlation of lists of two sizes");
  const std::vector<double> in_x = mean_ranks(x), in_y = mean_ranks(y);
  const double middle = static_cast<double>(x.size() + 1) / 2;
  double both = 0, square_x = 0, square_y = 0;
  for (std::size_t i = 0; i < in_x.size(); ++i) {
    both += (in_x[i] - middle) * (in_y[i] - middle);
    square_x += (in_x[i] - middle) * (in_x[i] - middle);
    square_y += (in_y[i] - middle) * (in_y[i] - middle);
  }
  if (square_x == 0 || square_y == 0) return std::nullopt;
  return both / std::sqrt(square_x * square_y);
}

}  // namespace flowdarts
