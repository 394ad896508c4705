#pragma once
// Whether a derived architecture has collapsed: the known failure of DARTS, which then keeps ops that learn nothing.

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace flowdarts {

/// What a space says of a genotype. Collapsed: more than half of the ops it judges have no parameters (the failure that
/// Zela et al. study, "Understanding and robustifying differentiable architecture search", ICLR 2020), or nothing of
/// the input reaches the output.
struct CollapseVerdict {
  int ops = 0;  ///< judged
  /// Those without parameters: each op's name and how often it was chosen, in the order of the candidates.
  std::vector<std::pair<std::string_view, int>> counts;
  bool connected = true;

  [[nodiscard]] int without_parameters() const {
    int sum = 0;
    for (const auto& [op, count] : counts) sum += count;
    return sum;
  }
  [[nodiscard]] bool collapsed() const { return !connected || 2 * without_parameters() > ops; }

  /// One line, for example `4 of 6 ops without parameters (none 1, skip_connect 3)`.
  [[nodiscard]] std::string reason() const {
    std::string chosen;
    for (const auto& [op, count] : counts) {
      if (count == 0) continue;
      chosen += (chosen.empty() ? " (" : ", ") + std::string(op) + " " + std::to_string(count);
    }
    if (!chosen.empty()) chosen += ")";
    return std::to_string(without_parameters()) + " of " + std::to_string(ops) + " ops without parameters" + chosen +
           (connected ? "" : "; no path from input to output");
  }
};

/// For nlohmann-json, as `collapse` of metrics.jsonl.
template <class Json>
void to_json(Json& json, const CollapseVerdict& verdict) {
  Json counts = Json::object();
  for (const auto& [op, count] : verdict.counts) counts[std::string(op)] = count;
  json = Json{{"collapsed", verdict.collapsed()},
              {"ops", verdict.ops},
              {"without_parameters", verdict.without_parameters()},
              {"counts", std::move(counts)},
              {"reason", verdict.reason()}};
}

}  // namespace flowdarts
