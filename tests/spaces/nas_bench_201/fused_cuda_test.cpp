// The fused supernet on a GPU against the oracle on a CPU, in double from the same numbers.

#include <ATen/record_function.h>
#include <c10/cuda/CUDAFunctions.h>

#include <atomic>
#include <flowdarts/spaces/nas_bench_201/supernet.hpp>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "../agreement.hpp"
#include "../mixed_op/on_gpu.hpp"
#include "golden_fill.hpp"

namespace flowdarts::nas_bench_201 {
namespace {

using testing::golden;
using testing::golden_fill;
using testing::largest;
using torch::Tensor;

struct Case {
  std::string name;
  SupernetSpec spec;
  std::vector<std::int64_t> images = {3, 3, 8, 8};
  bool masked = false;  // some op weights are 0, all of edge 2 among them
  double bf16 = 3e-2;   // what logits in bfloat16 agree to
};

OpMask without(const std::vector<std::pair<int, int>>& gone) {
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
      {"OddSizes", {.channels = 5, .cells = 1}, {2, 3, 12, 20}},
      {"ManyCells", {.channels = 3, .cells = 3}, {2, 3, 8, 8}},
      {"WholeVectors", {.channels = 16, .cells = 1}, {2, 3, 8, 8}},
      {"ManyImages", {.channels = 16, .cells = 1}, {24, 3, 32, 32}},
      {"BatchOfOne", {.channels = 4, .cells = 2}, {1, 3, 16, 16}},
      {"AffineWithBias", {.channels = 4, .cells = 1, .conv_bias = true, .affine = true}},
      {"WithoutRunningStatistics", {.channels = 4, .cells = 1, .track_running_stats = false}},
      // So few ops that the rounding of the pools to bfloat16, which a CPU does without, is seen.
      {"SomeOpsGone",
       {.channels = 4,
        .cells = 1,
        .present = without({{0, 3}, {1, 2}, {1, 3}, {3, 1}, {3, 4}, {4, 0}, {5, 1}, {5, 2}, {5, 3}})},
       {3, 3, 8, 8},
       false,
       5e-2},
      {"NothingReachesNode1", {.channels = 4, .cells = 1, .present = without({{0, 1}, {0, 2}, {0, 3}, {0, 4}})}},
      {"NothingLeavesNode2", {.channels = 4, .cells = 1, .present = without({{5, 1}, {5, 2}, {5, 3}, {5, 4}})}},
      {"SomeWeightsZero", {.channels = 4, .cells = 1}, {3, 3, 8, 8}, /*masked=*/true},
      {"SkipsAlone", {.channels = 4, .cells = 1, .present = only(column::skip_connect)}},
      {"PoolsAlone", {.channels = 4, .cells = 1, .present = only(column::avg_pool_3x3)}},
      {"OneByOneAlone", {.channels = 4, .cells = 1, .present = only(column::nor_conv_1x1)}},
  };
}

Tensor op_weights_of(const Case& c) {
  Tensor weights = golden({6, 5}, 0.5).softmax(1);
  if (c.masked) weights.masked_fill_(weights < 0.2, 0.0).select(0, 2).zero_();
  return weights;
}

/// What a pass through a supernet gives, in double on the CPU.
struct Pass {
  Tensor logits, op_weights;
  std::vector<Tensor> weights, buffers;
};

/// A pass with numbers that `numbers` holds exactly, computed in `type`. The batch is some copies of the case's images.
Pass run(Supernet& supernet, const Case& c, torch::Device device, at::ScalarType type, at::ScalarType numbers,
         bool train, std::int64_t copies = 1) {
  golden_fill(supernet);
  supernet.to(numbers);
  supernet.to(device, type);
  supernet.train(train);
  const auto values = [&](const Tensor& exact) { return exact.to(numbers).to(device, type); };
  const Tensor op_weights = values(op_weights_of(c)).requires_grad_();
  const Tensor images =
      values(golden(c.images).repeat({copies, 1, 1, 1})).contiguous(torch::MemoryFormat::ChannelsLast);
  const Tensor logits = supernet.forward(images, {op_weights});
  const Tensor labels = torch::arange(c.images[0], torch::kInt64).remainder(10).repeat({copies}).to(device);
  std::vector<Tensor> inputs = supernet.parameters();
  inputs.push_back(op_weights);
  auto gradients = torch::autograd::grad({torch::cross_entropy_loss(logits, labels)}, inputs, {}, false, false,
                                         /*allow_unused=*/true);
  const auto to_host = [](const Tensor& tensor) { return tensor.detach().to(torch::kCPU, torch::kDouble); };
  Pass pass{.logits = to_host(logits)};
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    pass.weights.push_back(to_host(gradients[i].defined() ? gradients[i] : torch::zeros_like(inputs[i])));
  }
  pass.op_weights = pass.weights.back();
  pass.weights.pop_back();
  for (const Tensor& buffer : supernet.buffers()) pass.buffers.push_back(to_host(buffer));
  return pass;
}

/// Differences are relative to the largest element, for w of all gradients together.
void expect_close(const Pass& actual, const Pass& expected, double logits, double gradients) {
  EXPECT_LE(largest(actual.logits - expected.logits), logits * largest(expected.logits));
  EXPECT_LE(largest(actual.op_weights - expected.op_weights), gradients * largest(expected.op_weights) + 1e-300);
  double scale = 0;
  for (const Tensor& gradient : expected.weights) scale = std::max(scale, largest(gradient));
  ASSERT_EQ(actual.weights.size(), expected.weights.size());
  for (std::size_t i = 0; i < expected.weights.size(); ++i) {
    ASSERT_EQ(actual.weights[i].sizes(), expected.weights[i].sizes());
    EXPECT_LE(largest(actual.weights[i] - expected.weights[i]), gradients * scale) << "parameter " << i;
  }
  ASSERT_EQ(actual.buffers.size(), expected.buffers.size());
  for (std::size_t i = 0; i < expected.buffers.size(); ++i) {
    EXPECT_LE(largest(actual.buffers[i] - expected.buffers[i]), logits * std::max(0.1, largest(expected.buffers[i])))
        << "buffer " << i;
  }
}

class FusedOnGpu : public flowdarts::testing::OnGpu {
 protected:
  void SetUp() override {
    OnGpu::SetUp();
    at::globalContext().setAllowTF32CuDNN(false);
    at::globalContext().setAllowTF32CuBLAS(false);
  }
};

TEST_F(FusedOnGpu, AgreesWithTheOracle) {
  for (const Case& c : cases()) {
    for (const bool train : {true, false}) {
      // In float a ReLU input of 0 to rounding has either sign, and gradients change by up to some 1e-3 with each.
      for (const auto& [type, logits, gradients] :
           {std::tuple{torch::kDouble, 1e-10, 1e-10}, {torch::kFloat, 1e-4, 3e-2}}) {
        SCOPED_TRACE(c.name + " " + c10::toString(type) + (train ? " train" : " eval"));
        OracleSupernet oracle(c.spec);
        FusedSupernet fused(c.spec);
        expect_close(run(fused, c, torch::kCUDA, type, type, train),
                     run(oracle, c, torch::kCPU, torch::kDouble, type, train), logits, gradients);
      }
    }
  }
}

TEST_F(FusedOnGpu, SharesItsStatisticsWithAnotherProcess) {
  for (const Case& c : cases()) {
    for (const auto& [type, logits, gradients] :
         {std::tuple{torch::kDouble, 1e-10, 1e-10}, {torch::kFloat, 1e-4, 3e-2}}) {
      SCOPED_TRACE(c.name + " " + c10::toString(type));
      OracleSupernet oracle(c.spec);
      FusedSupernet fused(c.spec);
      const auto sum = std::make_shared<flowdarts::testing::SumWithTwin>();
      fused.share_statistics(sum);
      // The mean loss of two equal shares is that of one, and so are its gradients.
      Pass expected = run(oracle, c, torch::kCPU, torch::kDouble, type, true, 2);
      expected.logits = expected.logits.chunk(2)[0];
      expect_close(run(fused, c, torch::kCUDA, type, type, true), expected, logits, gradients);
      EXPECT_GT(sum->messages(), 0);
    }
  }
}

TEST_F(FusedOnGpu, LogitsInBfloat16AgreeWithTheOracles) {
  for (const Case& c : cases()) {
    for (const bool train : {true, false}) {
      SCOPED_TRACE(c.name + (train ? " train" : " eval"));
      OracleSupernet oracle(c.spec);
      FusedSupernet fused(c.spec, Precision::bf16);
      const Pass actual = run(fused, c, torch::kCUDA, torch::kFloat, torch::kFloat, train);
      const Pass expected = run(oracle, c, torch::kCPU, torch::kDouble, torch::kFloat, train);
      EXPECT_LE(largest(actual.logits - expected.logits), c.bf16 * largest(expected.logits));
    }
  }
}

TEST_F(FusedOnGpu, LogitsInTf32AgreeWithTheOracles) {
  at::globalContext().setAllowTF32CuDNN(true);
  at::globalContext().setAllowTF32CuBLAS(true);
  const Case c{"", {.channels = 16, .cells = 1}, {8, 3, 16, 16}};
  OracleSupernet oracle(c.spec);
  FusedSupernet fused(c.spec, Precision::tf32);
  const Pass actual = run(fused, c, torch::kCUDA, torch::kFloat, torch::kFloat, true);
  const Pass expected = run(oracle, c, torch::kCPU, torch::kDouble, torch::kFloat, true);
  EXPECT_LE(largest(actual.logits - expected.logits), 1e-2 * largest(expected.logits));
}

TEST_F(FusedOnGpu, GivesTheSameBitsInEveryRunWhereConvolutionsDo) {
  at::globalContext().setDeterministicCuDNN(true);
  at::globalContext().setBenchmarkCuDNN(false);
  for (const Case& c : cases()) {
    for (const Precision precision : {Precision::fp32, Precision::bf16}) {
      SCOPED_TRACE(c.name);
      FusedSupernet first(c.spec, precision), second(c.spec, precision);
      const Pass expected = run(first, c, torch::kCUDA, torch::kFloat, torch::kFloat, true);
      const Pass actual = run(second, c, torch::kCUDA, torch::kFloat, torch::kFloat, true);
      EXPECT_TRUE(torch::equal(actual.logits, expected.logits));
      EXPECT_TRUE(torch::equal(actual.op_weights, expected.op_weights));
      flowdarts::testing::expect_same_bits(actual.weights, expected.weights);
      flowdarts::testing::expect_same_bits(actual.buffers, expected.buffers);
    }
  }
  at::globalContext().setDeterministicCuDNN(false);
}

/// Convolution gradients that autograd asked for, with that of the weights or without.
struct Counts {
  static inline std::atomic<int> all{0}, of_weights{0};  // RecordFunction takes plain functions
};

std::unique_ptr<at::ObserverContext> observe(const at::RecordFunction& function) {
  if (std::string_view(function.name()) == "aten::convolution_backward") {
    ++Counts::all;
    if (function.inputs().back().toBoolList()[1]) ++Counts::of_weights;
  }
  return nullptr;
}

TEST_F(FusedOnGpu, ComputesOnlyTheGradientsAskedFor) {
  const Case c = cases()[0];
  FusedSupernet fused(c.spec);
  golden_fill(fused);
  fused.to(torch::kCUDA, torch::kFloat);
  fused.train();
  const Tensor images = golden(c.images).to(torch::kCUDA, torch::kFloat);
  const Tensor op_weights = op_weights_of(c).to(torch::kCUDA, torch::kFloat).requires_grad_();
  const Tensor loss = fused.forward(images, {op_weights}).square().sum();
  Counts::all = 0;
  Counts::of_weights = 0;
  const auto handle =
      at::addGlobalCallback(at::RecordFunctionCallback(observe).needsInputs(true).scopes({at::RecordScope::FUNCTION}));
  const auto alpha = torch::autograd::grad({loss}, {op_weights}, {}, /*retain_graph=*/true);
  EXPECT_GT(Counts::all, 0);
  EXPECT_EQ(Counts::of_weights, 0);
  const auto weights = torch::autograd::grad({loss}, fused.parameters());
  at::removeCallback(handle);
  EXPECT_GT(Counts::of_weights, 0);
  EXPECT_TRUE(alpha[0].defined());
}

TEST_F(FusedOnGpu, NeverMakesTheHostWait) {
  const Case c = cases()[0];
  FusedSupernet fused(c.spec);
  golden_fill(fused);
  fused.to(torch::kCUDA, torch::kFloat);
  const Tensor images = golden(c.images).to(torch::kCUDA, torch::kFloat);
  const Tensor op_weights = op_weights_of(c).to(torch::kCUDA, torch::kFloat).requires_grad_();
  std::vector<Tensor> inputs = fused.parameters();
  inputs.push_back(op_weights);
  const auto pass = [&] { torch::autograd::grad({fused.forward(images, {op_weights}).square().sum()}, inputs); };
  pass();  // libraries may wait while they choose their algorithms
  c10::cuda::warning_state().set_sync_debug_mode(c10::cuda::SyncDebugMode::L_ERROR);
  EXPECT_NO_THROW(pass());
  c10::cuda::warning_state().set_sync_debug_mode(c10::cuda::SyncDebugMode::L_DISABLED);
}

TEST_F(FusedOnGpu, LetsNanThrough) {
  for (const Precision precision : {Precision::fp32, Precision::bf16}) {
    FusedSupernet fused({.channels = 4, .cells = 1}, precision);
    {
      const torch::NoGradGuard no_grad;
      for (const auto& item : fused.named_parameters()) {
        if (item.key().ends_with("blocks.0.edge0.op2.conv.weight")) item.value().fill_(NAN);
      }
    }
    fused.to(torch::kCUDA);
    const auto values = [](at::IntArrayRef shape) { return golden(shape).to(torch::kCUDA, torch::kFloat); };
    EXPECT_TRUE(fused.forward(values({2, 3, 8, 8}), {values({6, 5})}).isnan().all().item<bool>());
  }
}

TEST_F(FusedOnGpu, RefusesToBeDifferentiatedTwice) {
  FusedSupernet fused({.channels = 2, .cells = 1});
  fused.to(torch::kCUDA);
  const Tensor op_weights = golden({6, 5}).to(torch::kCUDA, torch::kFloat).requires_grad_();
  const Tensor images = golden({2, 3, 8, 8}).to(torch::kCUDA, torch::kFloat);
  const Tensor loss = fused.forward(images, {op_weights}).sum();
  EXPECT_THROW(torch::autograd::grad({loss}, {op_weights}, {}, /*retain_graph=*/true, /*create_graph=*/true),
               c10::Error);
}

TEST_F(FusedOnGpu, RefusesOpWeightsOnTheCpu) {
  FusedSupernet fused({.channels = 2, .cells = 1});
  fused.to(torch::kCUDA);
  EXPECT_THROW(fused.forward(golden({2, 3, 8, 8}).to(torch::kCUDA, torch::kFloat), {golden({6, 5})}), c10::Error);
}

}  // namespace
}  // namespace flowdarts::nas_bench_201
