#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <flowdarts/spaces/darts/derive.hpp>
#include <flowdarts/spaces/support/error.hpp>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "../golden_values.hpp"

namespace flowdarts::darts {
namespace {

using flowdarts::testing::golden_values;
using Matrix = std::vector<double>;

nlohmann::json read(const std::string& name) {
  std::ifstream file(FLOWDARTS_SOURCE_DIR "/tests/spaces/darts/" + name);
  return nlohmann::json::parse(file);
}

/// Softmax of the groups [begin, end) of a vector.
void softmax(std::span<double> group) {
  double sum = 0;
  for (double& value : group) sum += value = std::exp(value);
  for (double& value : group) value /= sum;
}

Matrix op_softmax(Matrix alpha, std::size_t columns) {
  for (std::size_t row = 0; row < alpha.size(); row += columns) softmax(std::span(alpha).subspan(row, columns));
  return alpha;
}

Matrix edge_softmax(Matrix beta) {
  for (int node = 0; node < default_nodes; ++node) {
    softmax(std::span(beta).subspan(first_edge(node), first_edge(node + 1) - first_edge(node)));
  }
  return beta;
}

std::string derived_text(const std::string& network) {
  for (const auto& entry : read("golden_forward.json")) {
    if (entry.at("name") == network) return entry.at("derived_genotype");
  }
  return "";
}

TEST(Derive, OfDartsMatchesTheReference) {
  const Genotype genotype{derive(op_softmax(golden_values(14 * 8, 0.5, 0), 8)),
                          derive(op_softmax(golden_values(14 * 8, 0.5, 1000), 8))};
  EXPECT_EQ(to_string(genotype), derived_text("darts_search_C4_L8"));
}

TEST(Derive, OfPcDartsMatchesTheReference) {
  const Genotype genotype{
      derive(op_softmax(golden_values(14 * 8, 0.5, 0), 8), edge_softmax(golden_values(14, 0.5, 2000))),
      derive(op_softmax(golden_values(14 * 8, 0.5, 1000), 8), edge_softmax(golden_values(14, 0.5, 3000)))};
  EXPECT_EQ(to_string(genotype), derived_text("pc_darts_search_k4_C8_L8"));
}

// Two nodes, seven columns (max, avg, skip, sep3, sep5, dil3, dil5).
TEST(Derive, KeepsTheTwoStrongestEdgesTheStrongerFirst) {
  const Matrix weights{
      0.1, 0.1, 0.2, 0.1, 0.1, 0.1, 0.1,  // node 0, state 0: skip 0.2
      0.1, 0.3, 0.1, 0.1, 0.1, 0.1, 0.1,  // state 1: avg 0.3
      0.1, 0.1, 0.1, 0.5, 0.1, 0.1, 0.1,  // node 1, state 0: sep3 0.5
      0.4, 0.1, 0.1, 0.1, 0.1, 0.1, 0.4,  // state 1: max 0.4, before dil5
      0.1, 0.1, 0.1, 0.1, 0.4, 0.1, 0.1,  // state 2: sep5 0.4, behind state 1
  };
  const Cell cell = derive(weights, 2);
  EXPECT_EQ(
      cell.inputs,
      (std::vector<Input>{{Op::avg_pool_3x3, 1}, {Op::skip_connect, 0}, {Op::sep_conv_3x3, 0}, {Op::max_pool_3x3, 1}}));
  EXPECT_EQ(cell.concat, (std::vector<int>{2, 3}));
  // Weights of edges decide which of them stay.
  EXPECT_EQ(derive(weights, Matrix{1, 1, 0.1, 0.5, 0.6}, 2).inputs[2], (Input{Op::sep_conv_5x5, 2}));
  EXPECT_EQ(derive(weights, Matrix{1, 1, 0.1, 0.5, 0.6}, 2).inputs[3], (Input{Op::max_pool_3x3, 1}));
}

// softmax before the exclusion: a large `none` costs its edge all strength.
TEST(Derive, LeavesNoneInTheSoftmaxButNeverChoosesIt) {
  Matrix alpha(5 * 8, 0.0);
  alpha[2 * 8 + 0] = 5;  // node 1, state 0: `none`
  alpha[2 * 8 + 4] = 2;  // and sep3, the largest alpha of all ops
  const Cell cell = derive(op_softmax(alpha, 8), 2);
  EXPECT_EQ(cell.inputs[2].state, 1);
  EXPECT_EQ(cell.inputs[3].state, 2);
  alpha[2 * 8 + 0] = 0;
  EXPECT_EQ(derive(op_softmax(alpha, 8), 2).inputs[2], (Input{Op::sep_conv_3x3, 0}));
}

// ---- P-DARTS ----

/// [14, 8] from a row a kept op.
Matrix scattered(const OpMask& mask, const Matrix& compact) {
  Matrix all(mask.size() * candidate_count, std::nan(""));
  std::size_t next = 0;
  for (std::size_t edge = 0; edge < mask.size(); ++edge) {
    for (std::size_t op = 0; op < candidate_count; ++op) {
      if (mask[edge][op]) all[edge * candidate_count + op] = compact[next++];
    }
  }
  EXPECT_EQ(next, compact.size());
  return all;
}

OpMask mask_of(const nlohmann::json& table) {
  OpMask mask;
  for (const auto& ops : table) {
    auto& row = mask.emplace_back();
    for (const std::string op : ops) row[std::ranges::find(op_names, op) - op_names.begin()] = true;
  }
  return mask;
}

TEST(DeriveProgressive, MatchesTheReferenceStageByStage) {
  const auto golden = read("golden_derivation.json");
  std::array<OpMask, 2> masks{all_ops(), all_ops()};
  Genotype genotype, limited;
  const std::array<std::string, 2> names{"normal", "reduce"};
  for (std::uint32_t stage = 0; stage < 3; ++stage) {
    const std::size_t columns = std::array{8, 5, 3}[stage];
    for (std::uint32_t type = 0; type < 2; ++type) {
      OpMask& mask = masks[type];
      Matrix probabilities = op_softmax(golden_values(14 * columns, 0.5, 10000 * stage + 1000 * type), columns);
      for (double& p : probabilities) p = static_cast<float>(p);
      const Matrix all = scattered(mask, probabilities);
      if (stage == 2) {
        (type == 0 ? genotype.normal : genotype.reduce) = derive_progressive(mask, all);
        (type == 0 ? limited.normal : limited.reduce) =
            derive_progressive(mask, all, type == 0 ? std::optional(0) : std::nullopt);
        mask = keep_strongest(mask, all);
      } else {
        mask = drop_weakest(mask, all, stage == 0 ? 3 : 2);
      }
      EXPECT_EQ(mask, mask_of(golden.at("after_stage" + std::to_string(stage + 1)).at(names[type])));
    }
  }
  EXPECT_EQ(to_string(genotype), golden.at("derived_genotype"));
  EXPECT_EQ(to_string(limited), golden.at("max_skip_0"));
}

constexpr std::size_t at(std::size_t edge, Op op) {
  return edge * candidate_count + static_cast<std::size_t>(op);
}

TEST(DropWeakest, TakesTheLowestColumnOfEqualOnesFirst) {
  Matrix probabilities(2 * 8, 0.125);
  probabilities[at(0, Op::none)] = 0.5;
  OpMask mask = drop_weakest(all_ops(1), probabilities, 3);
  EXPECT_EQ(mask[0], (std::array{true, false, false, false, true, true, true, true}));
  EXPECT_EQ(mask[1], (std::array{false, false, false, true, true, true, true, true}));
  mask = drop_weakest(mask, probabilities, 4);
  EXPECT_EQ(mask[0], (std::array{true, false, false, false, false, false, false, false}));
  EXPECT_THROW(drop_weakest(mask, probabilities, 1), InputError);
}

// Two nodes; skip and sep3 on every edge.
struct TwoOps {
  OpMask mask = OpMask(5);
  Matrix probabilities = Matrix(5 * 8, 0.0);
  TwoOps(std::array<double, 5> skip, std::array<double, 5> sep) {
    for (std::size_t edge = 0; edge < 5; ++edge) {
      mask[edge][static_cast<std::size_t>(Op::skip_connect)] = mask[edge][static_cast<std::size_t>(Op::sep_conv_3x3)] =
          true;
      probabilities[at(edge, Op::skip_connect)] = skip[edge];
      probabilities[at(edge, Op::sep_conv_3x3)] = sep[edge];
    }
  }
};

TEST(DeriveProgressive, LimitsSkipsOneByOneTheWeakestFirst) {
  const TwoOps ops({0.6, 0.7, 0.9, 0.8, 0.1}, {0.4, 0.3, 0.2, 0.1, 0.5});
  constexpr Op skip = Op::skip_connect, sep = Op::sep_conv_3x3;
  const auto cell = [&](std::optional<int> limit) {
    return derive_progressive(ops.mask, ops.probabilities, limit).inputs;
  };
  EXPECT_EQ(cell(std::nullopt), (std::vector<Input>{{skip, 0}, {skip, 1}, {skip, 0}, {skip, 1}}));
  EXPECT_EQ(cell(4), cell(std::nullopt));
  EXPECT_EQ(cell(3), (std::vector<Input>{{sep, 0}, {skip, 1}, {skip, 0}, {skip, 1}}));
  EXPECT_EQ(cell(2), (std::vector<Input>{{sep, 0}, {sep, 1}, {skip, 0}, {skip, 1}}));
  // Node 1 loses its skip from state 1 and with it that edge: state 2 is stronger then.
  EXPECT_EQ(cell(1), (std::vector<Input>{{sep, 0}, {sep, 1}, {skip, 0}, {sep, 2}}));
  EXPECT_EQ(cell(0), (std::vector<Input>{{sep, 0}, {sep, 1}, {sep, 0}, {sep, 2}}));
}

TEST(DeriveProgressive, TakesTheHigherSourceOfEqualOnes) {
  const TwoOps ops({0, 0, 0, 0, 0}, {0.5, 0.5, 0.5, 0.5, 0.5});
  const auto cell = derive_progressive(ops.mask, ops.probabilities);
  EXPECT_EQ(cell.inputs[2].state, 1);
  EXPECT_EQ(cell.inputs[3].state, 2);
}

TEST(DeriveProgressive, KeepsASkipThatIsAllAnEdgeHas) {
  TwoOps ops({0.5, 0.5, 0.5, 0.5, 0.5}, {0, 0, 0, 0, 0});
  for (auto& row : ops.mask) row[static_cast<std::size_t>(Op::sep_conv_3x3)] = false;
  EXPECT_EQ(derive_progressive(ops.mask, ops.probabilities, 0).inputs[0].op, Op::skip_connect);
}

// ---- IS-DARTS ----

int count_of(const OpMask& mask, int node) {
  int count = 0;
  for (std::size_t edge = first_edge(node); edge < first_edge(node + 1); ++edge) {
    count += static_cast<int>(std::ranges::count(mask[edge], true));
  }
  return count;
}

TEST(Shrink, FollowsThePublishedScheduleToTwoOpsANode) {
  const std::array<std::array<int, 8>, 4> published{{{16, 14, 12, 10, 8, 6, 4, 2},
                                                     {24, 20, 17, 14, 11, 8, 5, 2},
                                                     {32, 27, 22, 18, 14, 10, 6, 2},
                                                     {40, 34, 28, 22, 17, 12, 7, 2}}};
  OpMask mask = all_ops();
  Matrix scores = golden_values(14 * 8, 1.0, 0);
  for (std::size_t edge = 0; edge < 14; ++edge) scores[at(edge, Op::none)] = INFINITY;
  for (std::size_t step = 0; step <= 7; ++step) {
    for (int node = 0; node < 4; ++node) EXPECT_EQ(count_of(mask, node), published[node][step]) << "step " << step;
    if (step < 7) mask = shrink(mask, scores, 7 - static_cast<int>(step));
  }
  // The scores never changed: what is left is the two smallest.
  const Cell cell = derive_survivors(mask);
  for (int node = 0; node < 4; ++node) {
    std::vector<std::pair<double, std::size_t>> order;
    for (std::size_t i = first_edge(node) * 8; i < first_edge(node + 1) * 8; ++i) order.emplace_back(scores[i], i);
    std::ranges::sort(order);
    std::array left{order[0].second, order[1].second};
    std::ranges::sort(left);
    for (std::size_t k = 0; k < 2; ++k) {
      EXPECT_EQ(cell.inputs[2 * node + k],
                (Input{static_cast<Op>(left[k] % 8), static_cast<int>(left[k] / 8 - first_edge(node))}));
    }
  }
}

TEST(Shrink, TakesTheLowerEdgeAndColumnOfEqualOnesFirst) {
  const Matrix scores(2 * 8, INFINITY);
  const OpMask mask = shrink(all_ops(1), scores, 2);  // ceil(14 / 2) = 7 of 16
  EXPECT_EQ(mask[0], (std::array{false, false, false, false, false, false, false, true}));
  EXPECT_EQ(mask[1], (std::array{true, true, true, true, true, true, true, true}));
}

TEST(DeriveSurvivors, TakesTwoOpsOfOneEdge) {
  OpMask mask(2);
  mask[1][static_cast<std::size_t>(Op::dil_conv_5x5)] = mask[1][static_cast<std::size_t>(Op::sep_conv_5x5)] = true;
  EXPECT_EQ(derive_survivors(mask).inputs, (std::vector<Input>{{Op::sep_conv_5x5, 1}, {Op::dil_conv_5x5, 1}}));
  mask[0][static_cast<std::size_t>(Op::skip_connect)] = true;
  EXPECT_THROW(derive_survivors(mask), InputError);
  mask[0][static_cast<std::size_t>(Op::skip_connect)] = mask[1][static_cast<std::size_t>(Op::sep_conv_5x5)] = false;
  mask[0][static_cast<std::size_t>(Op::none)] = true;
  EXPECT_THROW(derive_survivors(mask), InputError);
}

std::string error_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const InputError& error) {
    return error.what();
  }
  return "nothing thrown";
}

TEST(Derive, RefusesAnotherSizeAndNan) {
  EXPECT_EQ(error_of([] { derive(Matrix(14 * 6)); }), "scores of a DARTS cell: found 84 numbers, expected 14 x 8 or 7");
  EXPECT_EQ(error_of([] { derive(Matrix(14 * 8), Matrix(13)); }),
            "scores of a DARTS cell: found 13 numbers, expected 14 x 1 of edge weights");
  Matrix weights(14 * 8);
  weights[at(3, Op::sep_conv_5x5)] = NAN;
  EXPECT_EQ(error_of([&] { derive(weights); }),
            "scores of a DARTS cell: edge 3, op sep_conv_5x5: found NaN, expected a number");
  EXPECT_EQ(error_of([&] { static_cast<void>(shrink(all_ops(), weights, 1)); }),
            "scores of a DARTS cell: edge 3, op sep_conv_5x5: found NaN, expected a number");
  EXPECT_EQ(error_of([&] { static_cast<void>(shrink(OpMask(3), weights, 1)); }),
            "scores of a DARTS cell: found 112 numbers, expected 3 x 8");
  EXPECT_EQ(error_of([] { derive_survivors(OpMask(3)); }),
            "mask of a DARTS cell: found 3 edges, expected those of whole nodes (2, 5, 9, 14, ...)");
}

}  // namespace
}  // namespace flowdarts::darts
