// The arch step and the weight step on the fused supernet: what they compute, what they need, and that they go where
// they go on the oracle.

#include <gtest/gtest.h>

#include <ATen/record_function.h>
#include <c10/core/Allocator.h>

#include <algorithm>
#include <flowdarts/policies/arch_regularizer/none.hpp>
#include <flowdarts/policies/bilevel/first_order.hpp>
#include <flowdarts/policies/relaxation/softmax.hpp>
#include <flowdarts/spaces/initialise.hpp>
#include <flowdarts/spaces/nas_bench_201/supernet.hpp>
#include <flowdarts/stages/arch_step/arch_step.hpp>
#include <functional>
#include <string_view>

namespace flowdarts {
namespace {

using nas_bench_201::FusedSupernet;
using nas_bench_201::OracleSupernet;
using nas_bench_201::SupernetSpec;

DeviceBatch random_batch(std::int64_t batch, std::int64_t size, torch::Dtype type) {
  return {torch::randn({batch, 3, size, size}, torch::kDouble).to(type).contiguous(torch::MemoryFormat::ChannelsLast),
          torch::randint(10, {batch}, torch::kInt64)};
}

/// A search step by step, from seed 1.
class Search {
 public:
  Search(Supernet& supernet, torch::Dtype type, const ArchOptions& arch, const WeightOptions& weights)
      : weights_(weights),
        weight_step_(prepared(supernet, type), weights),
        arch_step_(supernet, alphas(supernet, type), arch, Softmax(), FirstOrder(), NoArchRegularizer()) {}

  void arch_step(const DeviceBatch& val) {
    arch_step_(
        val, val, weight_step_.optimizer(), weights_, weights_.lr, 0, [](auto&&) {}, [](auto&&) {});
  }
  void weight_step(const DeviceBatch& train) {
    weight_step_(train, arch_step_.op_weights(), weights_.lr, [](auto&&) {});
  }

  [[nodiscard]] torch::Tensor alpha() const { return arch_step_.optimizer().alphas()[0].detach(); }
  [[nodiscard]] const std::vector<torch::Tensor>& weights() const { return weight_step_.optimizer().weights(); }

 private:
  static Supernet& prepared(Supernet& supernet, torch::Dtype type) {
    initialise(supernet, 1);
    supernet.to(type);
    return supernet;
  }
  static std::vector<torch::Tensor> alphas(const Supernet& supernet, torch::Dtype type) {
    std::vector<torch::Tensor> leaves;
    for (const auto& alpha : initial_alphas(supernet.arch_shapes(), 1e-3, 1)) {
      leaves.push_back(alpha.detach().to(type).requires_grad_());
    }
    return leaves;
  }

  WeightOptions weights_;
  WeightStep weight_step_;
  ArchStep<Softmax, FirstOrder, NoArchRegularizer> arch_step_;
};

/// What autograd did during a step.
struct Counts {
  int convolution_backwards = 0;
  int weight_gradients = 0;  // asked of them
  int alpha_gradients = 0;   // that reached alpha's softmax

  static Counts* current;  // RecordFunction takes plain functions
};
Counts* Counts::current = nullptr;

std::unique_ptr<at::ObserverContext> observe(const at::RecordFunction& function) {
  const std::string_view name = function.name();
  if (name == "aten::convolution_backward") {
    ++Counts::current->convolution_backwards;
    if (function.inputs().back().toBoolList()[1]) ++Counts::current->weight_gradients;
  }
  if (name == "aten::_softmax_backward_data") ++Counts::current->alpha_gradients;
  return nullptr;
}

Counts count(const std::function<void()>& step) {
  Counts counts;
  Counts::current = &counts;
  const auto handle =
      at::addGlobalCallback(at::RecordFunctionCallback(observe).needsInputs(true).scopes({at::RecordScope::FUNCTION}));
  step();
  at::removeCallback(handle);
  Counts::current = nullptr;
  return counts;
}

template <class SupernetType>
class StepsOn : public ::testing::Test {};
struct Names {
  template <class SupernetType>
  static std::string GetName(int) {
    return std::is_same_v<SupernetType, FusedSupernet> ? "Fused" : "Oracle";
  }
};
using Supernets = ::testing::Types<FusedSupernet, OracleSupernet>;
TYPED_TEST_SUITE(StepsOn, Supernets, Names);

TYPED_TEST(StepsOn, EachComputesItsOwnGradientsAlone) {
  torch::manual_seed(5);
  TypeParam supernet(SupernetSpec{.channels = 4, .cells = 1});
  Search search(supernet, torch::kFloat, {}, {});
  const DeviceBatch batch = random_batch(4, 8, torch::kFloat);

  const Counts arch = count([&] { search.arch_step(batch); });
  EXPECT_GT(arch.convolution_backwards, 0);
  EXPECT_EQ(arch.weight_gradients, 0);
  EXPECT_EQ(arch.alpha_gradients, 1);

  const Counts weight = count([&] { search.weight_step(batch); });
  EXPECT_GT(weight.convolution_backwards, arch.convolution_backwards);  // the stem's as well
  EXPECT_EQ(weight.weight_gradients, weight.convolution_backwards);
  EXPECT_EQ(weight.alpha_gradients, 0);
}

double relative_difference(const torch::Tensor& found, const torch::Tensor& expected) {
  return ((found - expected).abs().max() / expected.abs().max()).item<double>();
}

void expect_one_way(torch::Dtype type, double relative) {
  ArchOptions arch;
  arch.lr = 0.01;
  // So few activations that hardly one is 0 to rounding, whose ReLU would part the two.
  const SupernetSpec spec{.channels = 2, .cells = 1};
  FusedSupernet fused(spec);
  OracleSupernet oracle(spec);
  Search ours(fused, type, arch, {}), theirs(oracle, type, arch, {});
  const torch::Tensor start = ours.alpha().clone();
  ASSERT_TRUE(torch::equal(theirs.alpha(), start));
  torch::manual_seed(6);
  for (int step = 0; step < 20; ++step) {
    const DeviceBatch val = random_batch(8, 8, type), train = random_batch(8, 8, type);
    for (Search* search : {&ours, &theirs}) {
      search->arch_step(val);
      search->weight_step(train);
    }
  }
  EXPECT_GT((ours.alpha() - start).abs().max().item<double>(), 0.05);
  EXPECT_LE(relative_difference(ours.alpha(), theirs.alpha()), relative);
  for (std::size_t i = 0; i < ours.weights().size(); ++i) {
    EXPECT_LE(relative_difference(ours.weights()[i].detach(), theirs.weights()[i].detach()), 10 * relative) << i;
  }
}

TEST(FusedSteps, TwentyOfThemGoWhereTheOraclesGoInDouble) {
  expect_one_way(torch::kDouble, 1e-8);
}

TEST(FusedSteps, TwentyOfThemGoWhereTheOraclesGoInFloat) {
  expect_one_way(torch::kFloat, 1e-4);
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

/// What a step needs beyond what was there before it, in bytes.
std::int64_t peak_memory(const std::function<void()>& step) {
  const auto meter = std::make_shared<MemoryMeter>();
  const c10::DebugInfoGuard guard(c10::DebugInfoKind::PROFILER_STATE, meter);
  step();
  return meter->peak();
}

TEST(FusedSteps, NeedLessMemoryThanTheOracles) {
  struct OneThread {
    int before = at::get_num_threads();
    OneThread() { at::set_num_threads(1); }
    ~OneThread() { at::set_num_threads(before); }
  } const one_thread;
  torch::manual_seed(7);
  const SupernetSpec spec{.channels = 16, .cells = 1};
  FusedSupernet fused(spec);
  OracleSupernet oracle(spec);
  Search ours(fused, torch::kFloat, {}, {}), theirs(oracle, torch::kFloat, {}, {});
  const DeviceBatch batch = random_batch(32, 32, torch::kFloat);
  const std::int64_t image_bytes = 16 * 32 * 32 * 32 * 4;
  const auto expect_less = [&](void (Search::*step)(const DeviceBatch&)) {
    const std::int64_t found = peak_memory([&] { (ours.*step)(batch); });
    const std::int64_t expected = peak_memory([&] { (theirs.*step)(batch); });
    EXPECT_GT(found, 6 * image_bytes);  // the outputs of the 3x3 convolutions at least: the meter runs
    EXPECT_LT(found, expected);
  };
  expect_less(&Search::arch_step);
  expect_less(&Search::weight_step);
}

}  // namespace
}  // namespace flowdarts
