// The fused supernet against the oracle: one set of parameters, the same logits, gradients and statistics.

#include <gtest/gtest.h>

#include <c10/core/Allocator.h>

#include <cmath>
#include <flowdarts/spaces/darts/ops.hpp>
#include <flowdarts/spaces/darts/supernet.hpp>
#include <memory>
#include <string>
#include <vector>

#include "../agreement.hpp"
#include "../nas_bench_201/golden_fill.hpp"

namespace flowdarts::darts {
namespace {

using testing::expect_same_layout;
using testing::expect_same_statistics;
using testing::golden;
using testing::golden_fill;
using testing::largest;
using Tensors = std::vector<torch::Tensor>;

struct Case {
  std::string name;
  SupernetSpec spec;
  std::int64_t batch = 3;
  std::int64_t height = 8;
  std::int64_t width = 8;
  bool masked = false;  // some op weights are 0, all of edge 1 among them
  double skip_dropout = 0;
};

void PrintTo(const Case& c, std::ostream* out) {
  *out << c.name;
}

OpMask only(std::vector<Op> ops, int nodes) {
  OpMask mask(edge_count(nodes));
  for (auto& row : mask) {
    for (const Op op : ops) row[static_cast<std::size_t>(op)] = true;
  }
  return mask;
}

/// Other ops on every edge; nothing on edge 2, so nothing but what other edges bring reaches the node.
OpMask ragged(int nodes, std::size_t shift) {
  OpMask mask(edge_count(nodes));
  for (std::size_t e = 0; e < mask.size(); ++e) {
    for (std::size_t k = 0; k < 3; ++k) mask[e][(e + shift + 3 * k) % candidate_count] = e != 2;
  }
  return mask;
}

// Two cells: a reduction cell, then one more behind it; three: a normal cell in front.
std::vector<Case> cases() {
  return {
      {"NormalAndReduction", {.channels = 4, .cells = 3, .nodes = 2}},
      {"FourNodes", {.channels = 4, .cells = 1}, 2},
      {"OddSizes", {.channels = 6, .cells = 3, .nodes = 1}, 2, 12, 20},
      {"WholeVectors", {.channels = 16, .cells = 1, .nodes = 2}, 2},
      // Pools without batch norm: with it, all logits of one image are those of the classifier's bias.
      {"BatchOfOne", {.channels = 4, .cells = 3, .nodes = 2, .pool_norm = false}, 1, 16, 16},
      {"SevenOps", {.channels = 4, .cells = 3, .nodes = 2, .with_none = false}},
      {"PartialChannels", {.channels = 8, .cells = 3, .nodes = 2, .partial = 4, .edge_weights = true}},
      {"PartialWithoutEdgeWeights", {.channels = 8, .cells = 3, .nodes = 2, .partial = 2}},
      {"EdgeWeights", {.channels = 4, .cells = 3, .nodes = 2, .edge_weights = true}},
      {"ImageNetStem", {.channels = 4, .cells = 3, .nodes = 1, .stem = Stem::imagenet}, 2, 64, 64},
      {"IsDarts", {.channels = 4, .cells = 3, .nodes = 2, .pool_norm = false, .conv_bias = true, .last_norm = true}},
      {"WithoutRunningStatistics", {.channels = 4, .cells = 3, .nodes = 1, .track_running_stats = false}},
      {"SomeOpsGone", {.channels = 4, .cells = 3, .nodes = 3, .normal = ragged(3, 0), .reduce = ragged(3, 1)}},
      {"NothingInANode", {.channels = 4, .cells = 3, .nodes = 2, .normal = only({}, 2), .reduce = only({}, 2)}},
      {"NothingThroughPartialChannels",
       {.channels = 4, .cells = 3, .nodes = 1, .partial = 2, .normal = only({}, 1), .reduce = only({}, 1)}},
      {"SomeWeightsZero", {.channels = 4, .cells = 3, .nodes = 2}, 3, 8, 8, /*masked=*/true},
      {"SkipsAlone",
       {.channels = 4,
        .cells = 3,
        .nodes = 2,
        .normal = only({Op::skip_connect}, 2),
        .reduce = only({Op::skip_connect}, 2)}},
      {"PoolsAlone",
       {.channels = 4,
        .cells = 3,
        .nodes = 2,
        .normal = only({Op::max_pool_3x3, Op::avg_pool_3x3}, 2),
        .reduce = only({Op::max_pool_3x3}, 2)}},
      {"SkipDropout", {.channels = 4, .cells = 3, .nodes = 2}, 3, 8, 8, false, 0.4},
  };
}

/// What a pass through a supernet gives.
struct Pass {
  torch::Tensor logits;
  std::vector<torch::Tensor> op_weights, weights;
};

/// The graph of a loss, to be differentiated once or more.
struct Graph {
  std::vector<torch::Tensor> op_weights;
  torch::Tensor logits, loss;

  Graph(DartsSupernet& supernet, const Case& c, at::ScalarType dtype) {
    for (const ArchShape& shape : supernet.arch_shapes()) {
      torch::Tensor weights = competing_softmax(
          golden({shape.rows, shape.columns}, 0.5, 0.0, static_cast<std::uint32_t>(1000 * op_weights.size())), shape);
      if (c.masked && op_weights.size() < 2) weights.masked_fill_(weights < 0.12, 0.0).select(0, 1).zero_();
      op_weights.push_back(weights.to(dtype).requires_grad_());
    }
    supernet.set_skip_dropout({.rate = c.skip_dropout, .key = 7});
    logits = supernet.forward(
        golden({c.batch, 3, c.height, c.width}).to(dtype).contiguous(torch::MemoryFormat::ChannelsLast), op_weights);
    loss = torch::cross_entropy_loss(logits, torch::arange(c.batch, torch::kInt64).remainder(10));
  }
};

Pass differentiate(Supernet& supernet, const Graph& graph, bool retain_graph = false) {
  std::vector<torch::Tensor> inputs = supernet.parameters();
  const auto parameters = static_cast<std::ptrdiff_t>(inputs.size());
  inputs.insert(inputs.end(), graph.op_weights.begin(), graph.op_weights.end());
  auto gradients = torch::autograd::grad({graph.loss}, inputs, {}, retain_graph, false, /*allow_unused=*/true);
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    if (!gradients[i].defined()) gradients[i] = torch::zeros_like(inputs[i]);
  }
  return {graph.logits.detach(),
          {gradients.begin() + parameters, gradients.end()},
          {gradients.begin(), gradients.begin() + parameters}};
}

Pass run(DartsSupernet& supernet, const Case& c, at::ScalarType dtype, bool train) {
  supernet.to(dtype);
  supernet.train(train);
  return differentiate(supernet, Graph(supernet, c, dtype));
}

/// Differences are relative to the largest element of all gradients together: one alone may be zero, as that of a bias
/// that the next batch norm cancels.
void expect_close(const Tensors& actual, const Tensors& expected, double relative) {
  double scale = 1e-300;
  for (const auto& gradient : expected) scale = std::max(scale, largest(gradient));
  ASSERT_EQ(actual.size(), expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    ASSERT_EQ(actual[i].sizes(), expected[i].sizes());
    EXPECT_LE(largest(actual[i] - expected[i]), relative * scale) << "tensor " << i;
  }
}

void expect_close(const Pass& actual, const Pass& expected, double relative) {
  expect_close(Tensors{actual.logits}, Tensors{expected.logits}, relative);
  expect_close(actual.op_weights, expected.op_weights, relative);
  expect_close(actual.weights, expected.weights, relative);
}

void expect_same_bits(const Pass& actual, const Pass& expected) {
  EXPECT_TRUE(torch::equal(actual.logits, expected.logits));
  for (std::size_t i = 0; i < expected.op_weights.size(); ++i) {
    EXPECT_TRUE(torch::equal(actual.op_weights[i], expected.op_weights[i])) << "op weights " << i;
  }
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

// Composed: as on a GPU.
TEST_P(Fused, AgreesWithTheOracle) {
  for (const auto& [dtype, relative] : {std::pair{torch::kFloat64, 1e-10}, {torch::kFloat32, 1e-4}}) {
    for (const bool train : {true, false}) {
      OracleSupernet oracle(GetParam().spec);
      golden_fill(oracle);
      const Pass expected = run(oracle, GetParam(), dtype, train);
      for (const bool composed : {false, true}) {
        SCOPED_TRACE(std::string(c10::toString(dtype)) + (train ? " train" : " eval") + (composed ? " composed" : ""));
        FusedSupernet fused(GetParam().spec);
        if (composed) fused.compose();
        golden_fill(fused);
        expect_close(run(fused, GetParam(), dtype, train), expected, relative);
        expect_same_statistics(fused, oracle, relative);
      }
    }
  }
}

TEST_P(Fused, LogitsInBfloat16AgreeWithTheOracles) {
  for (const bool train : {true, false}) {
    for (const bool composed : {false, true}) {
      SCOPED_TRACE(std::string(train ? "train" : "eval") + (composed ? " composed" : ""));
      OracleSupernet oracle(GetParam().spec);
      FusedSupernet fused(GetParam().spec, Precision::bf16);
      if (composed) fused.compose();
      golden_fill(oracle);
      golden_fill(fused);
      const Pass expected = run(oracle, GetParam(), torch::kFloat32, train);
      const Pass actual = run(fused, GetParam(), torch::kFloat32, train);
      EXPECT_EQ(actual.logits.scalar_type(), torch::kFloat32);
      EXPECT_LE(largest(actual.logits - expected.logits), 3e-2 * largest(expected.logits));
    }
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

INSTANTIATE_TEST_SUITE_P(Specs, Fused, ::testing::ValuesIn(cases()),
                         [](const auto& parameter) { return parameter.param.name; });

// The arch step asks for no gradient of a weight, the weight step for none of an op weight.
TEST(FusedSupernet, GivesTheSameGradientsWhateverElseIsAskedFor) {
  const Case c{"", {.channels = 4, .cells = 3, .nodes = 2}};
  FusedSupernet fused(c.spec);
  golden_fill(fused);
  const Pass all = run(fused, c, torch::kFloat64, /*train=*/true);
  const Graph graph(fused, c, torch::kFloat64);
  expect_close(torch::autograd::grad({graph.loss}, graph.op_weights, {}, /*retain_graph=*/true), all.op_weights, 1e-13);
  expect_close(torch::autograd::grad({graph.loss}, fused.parameters()), all.weights, 1e-13);
}

// More images than the operator makes parts of a batch.
TEST(FusedSupernet, LargeBatchesAgreeWithTheOracle) {
  const OpMask mask = only({Op::max_pool_3x3, Op::avg_pool_3x3, Op::skip_connect, Op::sep_conv_3x3}, 1);
  const Case c{"", {.channels = 16, .cells = 1, .nodes = 1, .reduce = mask}, 70, 8, 8};
  OracleSupernet oracle(c.spec);
  FusedSupernet fused(c.spec);
  golden_fill(oracle);
  golden_fill(fused);
  const Pass expected = run(oracle, c, torch::kFloat64, /*train=*/true);
  expect_close(run(fused, c, torch::kFloat64, /*train=*/true), expected, 1e-10);
}

TEST(FusedSupernet, TenStepsGoWhereTheOraclesGo) {
  const Case c{"", {.channels = 4, .cells = 3, .nodes = 2}};
  OracleSupernet oracle(c.spec);
  FusedSupernet fused(c.spec);
  std::vector<Tensors> ends;
  for (DartsSupernet* supernet : std::initializer_list<DartsSupernet*>{&oracle, &fused}) {
    golden_fill(*supernet);
    Tensors leaves = supernet->parameters(), alphas;
    for (const ArchShape& shape : supernet->arch_shapes()) {
      alphas.push_back(golden({shape.rows, shape.columns}, 0.5).requires_grad_());
    }
    leaves.insert(leaves.end(), alphas.begin(), alphas.end());
    for (std::uint32_t step = 0; step < 10; ++step) {
      const torch::Tensor logits =
          supernet->forward(golden({3, 3, 8, 8}, 1.0, 0.0, 1000 * step), {alphas[0].softmax(1), alphas[1].softmax(1)});
      const torch::Tensor loss = torch::cross_entropy_loss(logits, torch::arange(3, torch::kInt64));
      const Tensors gradients = torch::autograd::grad({loss}, leaves);
      const torch::NoGradGuard no_grad;
      for (std::size_t i = 0; i < leaves.size(); ++i) leaves[i].sub_(gradients[i], 0.02);
    }
    ends.push_back(leaves);
  }
  expect_close(ends[1], ends[0], 1e-8);
}

/// Bytes of tensors that this thread allocates on the CPU.
class MemoryMeter : public c10::MemoryReportingInfoBase {
 public:
  void reportMemoryUsage(void* /* address */, std::int64_t bytes, std::size_t /* allocated */,
                         std::size_t /* reserved */, c10::Device /* device */) override {
    now_ += bytes;
    peak_ = std::max(peak_, now_);
  }
  [[nodiscard]] bool memoryProfilingEnabled() const override { return true; }
  [[nodiscard]] std::int64_t peak() const { return peak_; }

 private:
  std::int64_t now_ = 0, peak_ = 0;
};

TEST(FusedSupernet, NeedsLessMemoryThanTheOracle) {
  struct OneThread {
    int before = at::get_num_threads();
    OneThread() { at::set_num_threads(1); }
    ~OneThread() { at::set_num_threads(before); }
  } const one_thread;
  const Case c{"", {.channels = 8, .cells = 3}, 8, 32, 32};
  OracleSupernet oracle(c.spec);
  FusedSupernet fused(c.spec);
  std::vector<std::int64_t> peaks;
  for (DartsSupernet* supernet : std::initializer_list<DartsSupernet*>{&oracle, &fused}) {
    golden_fill(*supernet);
    const auto meter = std::make_shared<MemoryMeter>();
    const c10::DebugInfoGuard guard(c10::DebugInfoKind::PROFILER_STATE, meter);
    run(*supernet, c, torch::kFloat32, /*train=*/true);
    peaks.push_back(meter->peak());
  }
  EXPECT_GT(peaks[1], 14 * 6 * 8 * 8 * 32 * 32 * 4);  // the pointwise convolutions' outputs of a cell at least
  EXPECT_LT(2 * peaks[1], peaks[0]);
}

// As a search must see that it diverges: a rectifier that made 0 of NaN would hide it.
TEST(FusedSupernet, LetsNanThrough) {
  for (const Precision precision : {Precision::fp32, Precision::bf16}) {
    FusedSupernet fused({.channels = 4, .cells = 1, .nodes = 1}, precision);
    const torch::NoGradGuard no_grad;
    for (const auto& item : fused.named_parameters()) {
      if (item.key().ends_with("edge0.op4.first.depthwise.weight")) item.value().detach().fill_(NAN);
    }
    EXPECT_TRUE(fused
                    .forward(golden({2, 3, 8, 8}).to(torch::kFloat32), {golden({2, 8}).to(torch::kFloat32).softmax(1),
                                                                        golden({2, 8}).to(torch::kFloat32).softmax(1)})
                    .isnan()
                    .any()
                    .item<bool>());
  }
}

TEST(FusedSupernet, RefusesToBeDifferentiatedTwice) {
  FusedSupernet fused({.channels = 2, .cells = 1, .nodes = 1});
  const Graph graph(fused, {"", {}}, torch::kFloat32);
  EXPECT_THROW(
      torch::autograd::grad({graph.loss}, graph.op_weights, {}, /*retain_graph=*/true, /*create_graph=*/true, true),
      c10::Error);
}

}  // namespace
}  // namespace flowdarts::darts
