#pragma once
// The known name a mistyped one is nearest to.

#include <algorithm>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace flowdarts {

/// Damerau-Levenshtein distance in its restricted form (optimal string alignment): the least number of insertions,
/// deletions, substitutions and swaps of neighbours, no part of the text edited twice.
inline std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::vector<std::size_t>> d(a.size() + 1, std::vector<std::size_t>(b.size() + 1));
  for (std::size_t i = 0; i <= a.size(); ++i) {
    for (std::size_t j = 0; j <= b.size(); ++j) {
      if (i == 0 || j == 0) {
        d[i][j] = i + j;
        continue;
      }
      d[i][j] = std::min({d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1)});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
      }
    }
  }
  return d[a.size()][b.size()];
}

/// The known name that begins with `name` (an abbreviation), else the one of the least edit distance; among equals the
/// first. Empty when nothing is known. Names longer than 256 bytes are compared by their first 256.
inline std::optional<std::string> nearest_name(std::string_view name, std::span<const std::string> known) {
  if (known.empty()) return std::nullopt;
  const auto distance = [name = name.substr(0, 256)](const std::string& candidate) {
    return candidate.starts_with(name) ? 0 : edit_distance(name, std::string_view(candidate).substr(0, 256));
  };
  return *std::ranges::min_element(known, {}, distance);
}

}  // namespace flowdarts
