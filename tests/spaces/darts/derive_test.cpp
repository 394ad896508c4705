#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <flowdarts/spaces/darts/derive.hpp>
#include <flowdarts/spaces/support/error.hpp>
#include <fstream>
#include <functional>
#include <limits>
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

std::string error_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const InputError& error) {
    return error.what();
  }
  return "nothing thrown";
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

constexpr std::size_t at(std::size_t edge, Op op) {
  return edge * candidate_count + static_cast<std::size_t>(op);
}

TEST(KeepStrongest, TakesNoneOutFirstThenTheLowestColumnOfEqualOnes) {
  Matrix probabilities(2 * 8, 0.125);
  probabilities[at(0, Op::none)] = 0.5;
  probabilities[at(1, Op::avg_pool_3x3)] = 0.2;
  OpMask mask = keep_strongest(all_ops(1), probabilities);
  EXPECT_EQ(mask[0], (std::array{false, false, false, false, false, false, false, true}));
  EXPECT_EQ(mask[1], (std::array{false, false, true, false, false, false, false, false}));
  mask[1] = {true, false, false, false, false, false, false, false};
  EXPECT_THROW(static_cast<void>(keep_strongest(mask, probabilities)), InputError);
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

// Two nodes, seven columns (max, avg, skip, sep3, sep5, dil3, dil5); minus the feature information.
TEST(DeriveOfNodes, TakesTheTwoBestOpsAlsoOfOneEdge) {
  constexpr double gone = -INFINITY, lowest = std::numeric_limits<double>::lowest();
  Matrix scores{
      -4,     -3,   -2,     -6,   -5,   -9,   -8,    // node 0, state 0: skip, then avg
      -7,     -7,   -7,     -7,   -7,   -7,   -7,    // state 1
      gone,   gone, gone,   gone, -1,   gone, gone,  // node 1, state 0: sep5 is left
      gone,   gone, gone,   gone, gone, gone, gone,  // state 1: nothing is
      lowest, gone, lowest, gone, gone, gone, gone,  // state 2: max and skip, whose information is infinite
  };
  const Cell cell = derive_of_nodes(scores, 2);
  EXPECT_EQ(
      cell.inputs,
      (std::vector<Input>{{Op::avg_pool_3x3, 0}, {Op::skip_connect, 0}, {Op::sep_conv_5x5, 0}, {Op::max_pool_3x3, 2}}));
  EXPECT_EQ(cell.concat, (std::vector<int>{2, 3}));
  scores[4 * 7] = gone;
  EXPECT_EQ(derive_of_nodes(scores, 2).inputs[3], (Input{Op::skip_connect, 2}));
  scores[4 * 7 + 2] = gone;
  EXPECT_EQ(error_of([&] { derive_of_nodes(scores, 2); }),
            "scores of a DARTS cell: node 1: found 1 ops that are left, expected at least two");
  // Of eight columns the first is `none`: never chosen.
  Matrix eight(2 * 8, -5.0);
  eight[at(0, Op::none)] = eight[at(1, Op::none)] = 9.0;
  eight[at(1, Op::dil_conv_3x3)] = -1.0;
  EXPECT_EQ(derive_of_nodes(eight, 1).inputs, (std::vector<Input>{{Op::max_pool_3x3, 0}, {Op::dil_conv_3x3, 1}}));
}

TEST(Derive, RefusesAnotherSizeAndNan) {
  EXPECT_EQ(error_of([] { derive(Matrix(14 * 6)); }), "scores of a DARTS cell: found 84 numbers, expected 14 x 8 or 7");
  EXPECT_EQ(error_of([] { derive(Matrix(14 * 8), Matrix(13)); }),
            "scores of a DARTS cell: found 13 numbers, expected 14 x 1 of edge weights");
  Matrix weights(14 * 8);
  weights[at(3, Op::sep_conv_5x5)] = NAN;
  EXPECT_EQ(error_of([&] { derive(weights); }),
            "scores of a DARTS cell: edge 3, op sep_conv_5x5: found NaN, expected a number");
  EXPECT_EQ(error_of([&] { derive_of_nodes(weights); }),
            "scores of a DARTS cell: edge 3, op sep_conv_5x5: found NaN, expected a number");
  EXPECT_EQ(error_of([&] { derive_of_nodes(Matrix(14 * 6)); }),
            "scores of a DARTS cell: found 84 numbers, expected 14 x 8 or 7");
  EXPECT_EQ(error_of([&] { derive_progressive(OpMask(2), weights); }),
            "scores of a DARTS cell: found 112 numbers, expected 2 x 8");
  EXPECT_EQ(error_of([] { derive_progressive(OpMask(3, all_ops(1)[0]), Matrix(3 * 8)); }),
            "mask of a DARTS cell: found 3 edges, expected those of whole nodes (2, 5, 9, 14, ...)");
}

}  // namespace
}  // namespace flowdarts::darts
