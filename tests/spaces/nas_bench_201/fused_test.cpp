// The fused supernet against the oracle: one set of parameters, the same logits, gradients and statistics.

#include <gtest/gtest.h>

#include <cmath>
#include <flowdarts/spaces/nas_bench_201/supernet.hpp>
#include <memory>
#include <string>
#include <vector>

#include "../agreement.hpp"
#include "golden_fill.hpp"

namespace flowdarts::nas_bench_201 {
namespace {

using testing::expect_same_layout;
using testing::expect_same_statistics;
using testing::golden;
using testing::golden_fill;
using testing::largest;

struct Case {
  std::string name;
  SupernetSpec spec;
  std::int64_t batch = 3;
  std::int64_t height = 8;
  std::int64_t width = 8;
  bool masked = false;  // some op weights are 0, all of edge 2 among them
};

void PrintTo(const Case& c, std::ostream* out) {
  *out << c.name;
}

OpMask without(std::vector<std::pair<int, int>> gone) {
  OpMask mask = all_ops();
  for (const auto& [edge, op] : gone) mask[edge][op] = false;
  return mask;
}

OpMask only(int op) {
  OpMask mask{};
  for (auto& row : mask) row[op] = true;
  return mask;
}

std::vector<Case> cases() {
  return {
      {"Small", {.channels = 4, .cells = 1}},
      {"OddSizes", {.channels = 5, .cells = 1}, 2, 12, 20},
      {"ManyCells", {.channels = 3, .cells = 3}, 2},
      {"WholeVectors", {.channels = 16, .cells = 1}, 2},
      {"BatchOfOne", {.channels = 4, .cells = 2}, 1, 16, 16},
      {"AffineWithBias", {.channels = 4, .cells = 1, .conv_bias = true, .affine = true}},
      {"WithoutRunningStatistics", {.channels = 4, .cells = 1, .track_running_stats = false}},
      {"SomeOpsGone",
       {.channels = 4,
        .cells = 1,
        .present = without({{0, 3}, {1, 2}, {1, 3}, {3, 1}, {3, 4}, {4, 0}, {5, 1}, {5, 2}, {5, 3}})}},
      {"NothingReachesNode1", {.channels = 4, .cells = 1, .present = without({{0, 1}, {0, 2}, {0, 3}, {0, 4}})}},
      {"NothingLeavesNode2", {.channels = 4, .cells = 1, .present = without({{5, 1}, {5, 2}, {5, 3}, {5, 4}})}},
      {"SomeWeightsZero", {.channels = 4, .cells = 1}, 3, 8, 8, /*masked=*/true},
      {"SkipsAlone", {.channels = 4, .cells = 1, .present = only(column::skip_connect)}},
      {"PoolsAlone", {.channels = 4, .cells = 1, .present = only(column::avg_pool_3x3)}},
      {"OneByOneAlone", {.channels = 4, .cells = 1, .present = only(column::nor_conv_1x1)}},
      {"HalfOfTheChannels", {.channels = 4, .cells = 2, .partial = 2, .edge_weights = true}},
      {"QuarterOfTheChannels", {.channels = 16, .cells = 1, .partial = 4, .edge_weights = true}, 2, 12, 20},
      {"ThirdOfTheChannelsSomeWeightsZero",
       {.channels = 9, .cells = 1, .partial = 3, .edge_weights = true},
       3,
       8,
       8,
       /*masked=*/true},
      {"HalfOfTheChannelsSomeOpsGone",
       {.channels = 8,
        .cells = 1,
        .present = without({{0, 3}, {1, 2}, {1, 3}, {2, 1}, {2, 2}, {2, 3}, {2, 4}, {4, 0}}),
        .partial = 2,
        .edge_weights = true}},
      {"HalfOfTheChannelsEdgesAlike", {.channels = 4, .cells = 1, .partial = 2}},
      {"AllChannelsEdgesWeighted", {.channels = 4, .cells = 1, .edge_weights = true}},
  };
}

/// What a pass through a supernet gives.
struct Pass {
  torch::Tensor logits;
  std::vector<torch::Tensor> arch, weights;  // gradients
};

torch::Tensor op_weights_of(const Case& c) {
  auto weights = golden({6, 5}, 0.5).softmax(1);
  if (c.masked) weights.masked_fill_(weights < 0.2, 0.0).select(0, 2).zero_();
  return weights;
}

std::vector<torch::Tensor> arch_of(const Case& c, at::ScalarType dtype) {
  std::vector<torch::Tensor> arch{op_weights_of(c).to(dtype).requires_grad_()};
  if (c.spec.edge_weights) arch.push_back(golden({6, 1}, 0.5).add(0.7).to(dtype).requires_grad_());
  return arch;
}

/// The graph of a loss, to be differentiated once or more.
struct Graph {
  std::vector<torch::Tensor> arch;  // op weights, edge weights
  torch::Tensor logits, loss;

  Graph(Supernet& supernet, const Case& c, at::ScalarType dtype)
      : arch(arch_of(c, dtype)),
        logits(supernet.forward(
            golden({c.batch, 3, c.height, c.width}).to(dtype).contiguous(torch::MemoryFormat::ChannelsLast), arch)),
        loss(torch::cross_entropy_loss(logits, torch::arange(c.batch, torch::kInt64).remainder(10))) {}
};

Pass differentiate(Supernet& supernet, const Graph& graph, bool retain_graph = false) {
  std::vector<torch::Tensor> inputs = supernet.parameters();
  const auto parameters = static_cast<std::ptrdiff_t>(inputs.size());
  inputs.insert(inputs.end(), graph.arch.begin(), graph.arch.end());
  auto gradients = torch::autograd::grad({graph.loss}, inputs, {}, retain_graph, false, /*allow_unused=*/true);
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    if (!gradients[i].defined()) gradients[i] = torch::zeros_like(inputs[i]);
  }
  return {.logits = graph.logits.detach(),
          .arch = {gradients.begin() + parameters, gradients.end()},
          .weights = {gradients.begin(), gradients.begin() + parameters}};
}

Pass run(Supernet& supernet, const Case& c, at::ScalarType dtype, bool train) {
  supernet.to(dtype);
  supernet.train(train);
  return differentiate(supernet, Graph(supernet, c, dtype));
}

/// Differences are relative to the largest element, for w of all gradients together: one alone may be zero, as that of
/// a bias that the next batch norm cancels.
void expect_close(const Pass& actual, const Pass& expected, double relative) {
  EXPECT_LE(largest(actual.logits - expected.logits), relative * largest(expected.logits));
  ASSERT_EQ(actual.arch.size(), expected.arch.size());
  for (std::size_t m = 0; m < expected.arch.size(); ++m) {
    EXPECT_LE(largest(actual.arch[m] - expected.arch[m]), relative * largest(expected.arch[m]) + 1e-300) << m;
  }
  double scale = 0;
  for (const auto& gradient : expected.weights) scale = std::max(scale, largest(gradient));
  for (std::size_t i = 0; i < expected.weights.size(); ++i) {
    ASSERT_EQ(actual.weights[i].sizes(), expected.weights[i].sizes());
    EXPECT_LE(largest(actual.weights[i] - expected.weights[i]), relative * scale) << "parameter " << i;
  }
}

void expect_same_bits(const Pass& actual, const Pass& expected) {
  EXPECT_TRUE(torch::equal(actual.logits, expected.logits));
  ASSERT_EQ(actual.arch.size(), expected.arch.size());
  for (std::size_t m = 0; m < expected.arch.size(); ++m) EXPECT_TRUE(torch::equal(actual.arch[m], expected.arch[m]));
  ASSERT_EQ(actual.weights.size(), expected.weights.size());
  for (std::size_t i = 0; i < expected.weights.size(); ++i) {
    EXPECT_TRUE(torch::equal(actual.weights[i], expected.weights[i])) << "parameter " << i;
  }
}

class Fused : public ::testing::TestWithParam<Case> {};

TEST_P(Fused, HasTheOraclesParametersAndBuffers) {
  OracleSupernet oracle(GetParam().spec);
  FusedSupernet fused(GetParam().spec);
  expect_same_layout(fused, oracle);
}

TEST_P(Fused, AgreesWithTheOracle) {
  for (const auto& [dtype, relative] : {std::pair{torch::kFloat64, 1e-10}, {torch::kFloat32, 1e-4}}) {
    for (const bool train : {true, false}) {
      SCOPED_TRACE(std::string(c10::toString(dtype)) + (train ? " train" : " eval"));
      OracleSupernet oracle(GetParam().spec);
      FusedSupernet fused(GetParam().spec);
      golden_fill(oracle);
      golden_fill(fused);
      const Pass expected = run(oracle, GetParam(), dtype, train);
      expect_close(run(fused, GetParam(), dtype, train), expected, relative);
      expect_same_statistics(fused, oracle, relative);
    }
  }
}

// A batch norm over a few pixels amplifies rounding, so that three images alone may miss the bound by chance.
TEST_P(Fused, LogitsInBfloat16AgreeWithTheOracles) {
  Case larger = GetParam();
  larger.batch *= 8;
  for (const bool train : {true, false}) {
    SCOPED_TRACE(train ? "train" : "eval");
    OracleSupernet oracle(GetParam().spec);
    FusedSupernet fused(GetParam().spec, Precision::bf16);
    golden_fill(oracle);
    golden_fill(fused);
    const Pass expected = run(oracle, larger, torch::kFloat32, train);
    const Pass actual = run(fused, larger, torch::kFloat32, train);
    EXPECT_EQ(actual.logits.scalar_type(), torch::kFloat32);
    EXPECT_LE(largest(actual.logits - expected.logits), 3e-2 * largest(expected.logits));
  }
}

TEST_P(Fused, GivesTheSameBitsEveryTime) {
  for (const Precision precision : {Precision::fp32, Precision::bf16}) {
    FusedSupernet fused(GetParam().spec, precision), again(GetParam().spec, precision);
    golden_fill(fused);
    golden_fill(again);
    fused.to(torch::kFloat32);
    fused.train();
    const Graph graph(fused, GetParam(), torch::kFloat32);
    const Pass first = differentiate(fused, graph, /*retain_graph=*/true);
    expect_same_bits(differentiate(fused, graph), first);
    expect_same_bits(run(again, GetParam(), torch::kFloat32, /*train=*/true), first);
  }
}

double distance(const std::vector<torch::Tensor>& actual, const std::vector<torch::Tensor>& expected) {
  double difference = 0, size = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    difference += (actual[i] - expected[i]).square().sum().item<double>();
    size += expected[i].square().sum().item<double>();
  }
  return std::sqrt(difference / size);
}

// Rounding to bfloat16 moves some ReLU inputs across 0, and gradients, in which the images' parts nearly cancel, change
// by a tenth with that: in any bfloat16 computation. So the yardstick is the oracle with its convolutions in bfloat16.
TEST(FusedSupernet, GradientsInBfloat16AreAsAccurateAsAutocasts) {
  double alpha = 0, alpha_of_autocast = 0, weights = 0, weights_of_autocast = 0;
  for (std::int64_t batch = 4; batch < 12; ++batch) {
    const Case c{"", {.channels = 4, .cells = 1}, batch};
    OracleSupernet oracle(c.spec), cast(c.spec);
    FusedSupernet fused(c.spec, Precision::bf16);
    for (Supernet* supernet : std::initializer_list<Supernet*>{&oracle, &cast, &fused}) golden_fill(*supernet);
    const Pass expected = run(oracle, c, torch::kFloat32, true);
    const Pass actual = run(fused, c, torch::kFloat32, true);
    const Pass usual = [&] {
      const testing::Autocast autocast;
      return run(cast, c, torch::kFloat32, true);
    }();
    alpha += distance(actual.arch, expected.arch);
    alpha_of_autocast += distance(usual.arch, expected.arch);
    weights += distance(actual.weights, expected.weights);
    weights_of_autocast += distance(usual.weights, expected.weights);
  }
  RecordProperty("alpha", std::to_string(alpha / 8) + " of " + std::to_string(alpha_of_autocast / 8));
  RecordProperty("weights", std::to_string(weights / 8) + " of " + std::to_string(weights_of_autocast / 8));
  EXPECT_GT(alpha_of_autocast, 0.0);
  EXPECT_LE(alpha, 1.2 * alpha_of_autocast);
  EXPECT_LE(weights, 1.2 * weights_of_autocast);
}

// More images than the convolutions take at once.
TEST(FusedSupernet, GroupsOfImagesAgreeWithTheOracle) {
  const Case c{"", {.channels = 16, .cells = 1}, 24, 32, 32};
  // In float a ReLU input of 0 to rounding has either sign, as above; a group in the wrong place would show by far.
  for (const auto& [dtype, relative] : {std::pair{torch::kFloat64, 1e-10}, {torch::kFloat32, 3e-2}}) {
    SCOPED_TRACE(c10::toString(dtype));
    OracleSupernet oracle(c.spec);
    FusedSupernet fused(c.spec);
    golden_fill(oracle);
    golden_fill(fused);
    const Pass expected = run(oracle, c, dtype, /*train=*/true);
    expect_close(run(fused, c, dtype, /*train=*/true), expected, relative);
  }
}

// As a search must see that it diverges: a rectifier that made 0 of NaN would hide it.
TEST(FusedSupernet, LetsNanThrough) {
  for (const Precision precision : {Precision::fp32, Precision::bf16}) {
    FusedSupernet fused({.channels = 4, .cells = 1}, precision);
    const torch::NoGradGuard no_grad;
    for (const auto& item : fused.named_parameters()) {
      if (item.key().ends_with("blocks.0.edge0.op2.conv.weight")) item.value().detach().fill_(NAN);
    }
    EXPECT_TRUE(fused.forward(golden({2, 3, 8, 8}).to(torch::kFloat32), {golden({6, 5}).to(torch::kFloat32)})
                    .isnan()
                    .all()
                    .item<bool>());
  }
}

TEST(FusedSupernet, RefusesToBeDifferentiatedTwice) {
  FusedSupernet fused({.channels = 2, .cells = 1});
  const Graph graph(fused, {"", {}}, torch::kFloat32);
  EXPECT_THROW(torch::autograd::grad({graph.loss}, graph.arch, {}, /*retain_graph=*/true, /*create_graph=*/true),
               c10::Error);
}

INSTANTIATE_TEST_SUITE_P(Specs, Fused, ::testing::ValuesIn(cases()),
                         [](const auto& parameter) { return parameter.param.name; });

}  // namespace
}  // namespace flowdarts::nas_bench_201
