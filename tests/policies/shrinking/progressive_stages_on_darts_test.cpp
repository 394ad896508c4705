// P-DARTS' stages on the DARTS space, against the reference: what each leaves, and the architecture.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <flowdarts/policies/shrinking/progressive_stages.hpp>
#include <flowdarts/spaces/darts/derive.hpp>
#include <flowdarts/spaces/darts/space.hpp>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "../../spaces/golden_values.hpp"
#include "setting.hpp"

namespace flowdarts {
namespace {

using darts::candidate_count;
using testing::golden_values;
using testing::Setting;

constexpr std::size_t edges = 14;

/// Weights of the ops that are left, in float32 as the reference's: softmax of golden alphas, a row an edge.
std::vector<double> weights_of(const std::vector<bool>& left, std::size_t columns, std::uint32_t offset) {
  const std::vector<double> alpha = golden_values(edges * columns, 0.5, offset);
  std::vector<double> weights(left.size(), -std::numeric_limits<double>::infinity());
  std::size_t next = 0;
  for (std::size_t edge = 0; edge < edges; ++edge) {
    double sum = 0;
    for (std::size_t column = 0; column < columns; ++column) sum += std::exp(alpha[edge * columns + column]);
    for (std::size_t op = 0; op < candidate_count; ++op) {
      if (!left[edge * candidate_count + op]) continue;
      weights[edge * candidate_count + op] = static_cast<float>(std::exp(alpha[next++]) / sum);
    }
  }
  EXPECT_EQ(next, alpha.size());
  return weights;
}

std::vector<bool> mask_of(const nlohmann::json& table) {
  std::vector<bool> mask(edges * candidate_count);
  for (std::size_t edge = 0; edge < edges; ++edge) {
    for (const std::string op : table.at(edge)) {
      const auto column = std::ranges::find(darts::op_names, op) - darts::op_names.begin();
      mask[edge * candidate_count + static_cast<std::size_t>(column)] = true;
    }
  }
  return mask;
}

TEST(ProgressiveStagesOnDarts, MatchTheReferenceStageByStage) {
  std::ifstream file(FLOWDARTS_SOURCE_DIR "/tests/spaces/darts/golden_derivation.json");
  const auto golden = nlohmann::json::parse(file);
  Setting setting{.all_epochs = 75, .matrices = {{edges, candidate_count}, {edges, candidate_count}}};
  setting.left = {std::vector<bool>(edges * candidate_count, true), std::vector<bool>(edges * candidate_count, true)};
  for (std::uint32_t stage = 0; stage < 3; ++stage) {
    const std::size_t columns = std::vector{8, 5, 3}[stage];
    setting.importance = {weights_of(setting.left[0], columns, 10000 * stage),
                          weights_of(setting.left[1], columns, 10000 * stage + 1000)};
    setting.completed_epochs = 25 * (stage + 1);
    ProgressiveStages().after_epoch(setting);
    if (stage == 2) break;
    const auto& expected = golden.at("after_stage" + std::to_string(stage + 1));
    EXPECT_EQ(setting.left[0], mask_of(expected.at("normal")));
    EXPECT_EQ(setting.left[1], mask_of(expected.at("reduce")));
  }
  const Darts space({});
  const auto derived = [&](std::int64_t skips) {
    return Darts::to_text(space.derive_with_skip_limit(setting.importance, setting.left, skips));
  };
  EXPECT_EQ(derived(8), golden.at("derived_genotype"));
  EXPECT_EQ(derived(0), golden.at("max_skip_0"));
  // What the last stage leaves of every edge is its best op but `none`.
  const char* const kinds[] = {"normal", "reduce"};
  for (std::size_t kind = 0; kind < 2; ++kind) {
    const std::vector<bool> last = mask_of(golden.at("after_stage3").at(kinds[kind]));
    for (std::size_t edge = 0; edge < edges; ++edge) {
      const auto row = setting.importance[kind].begin() + static_cast<std::ptrdiff_t>(edge * candidate_count);
      const auto best = std::max_element(row + 1, row + candidate_count) - row;
      EXPECT_TRUE(last[edge * candidate_count + static_cast<std::size_t>(best)]) << kinds[kind] << ", edge " << edge;
    }
  }
}

}  // namespace
}  // namespace flowdarts
