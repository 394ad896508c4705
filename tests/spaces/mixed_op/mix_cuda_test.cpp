// The mix on a GPU against the mix on a CPU, in double from the same numbers.

#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDAGuard.h>

#include <algorithm>
#include <flowdarts/spaces/mixed_op/mix.hpp>
#include <memory>

#include "../../no_synchronisation.hpp"
#include "on_gpu.hpp"

namespace flowdarts {
namespace {

using testing::expect_close;
using testing::expect_same_bits;
using torch::Tensor;
using Tensors = std::vector<Tensor>;

enum class Kind { plain, norm, affine, untracked };

struct Case {
  std::string name;
  std::vector<std::int64_t> sizes;
  std::vector<Kind> terms = {Kind::norm, Kind::plain, Kind::norm};
  bool weighted = true;
  bool relu = false;
  double offset = 0;
};

std::vector<Case> cases() {
  using enum Kind;
  return {
      {"WholeVectors", {2, 16, 8, 8}},
      {"Relu", {2, 16, 8, 8}, {norm, plain, affine}, true, true},
      {"OddSizes", {3, 5, 3, 7}, {norm, plain, affine, untracked}, true, true},
      {"OneChannel", {2, 1, 5, 3}, {norm, plain}},
      {"OneImage", {1, 17, 9, 4}, {norm, affine}},
      {"OnePixelAnImage", {6, 8, 1, 1}, {norm, plain}},
      {"OddManyChannels", {2, 301, 4, 3}, {norm, plain}, true, true},
      {"MoreGroupsThanThreads", {2, 1040, 3, 3}, {norm, affine}},
      {"ManyOddChannels", {2, 777, 2, 3}, {affine, norm}},
      {"ManySegments", {8, 16, 64, 60}, {norm, norm, plain}, true, true},
      {"LongSegments", {6, 3, 240, 240}, {norm, plain}},
      {"Sum", {2, 8, 6, 6}, {plain, plain, plain}, false},
      {"SumOfNorms", {2, 8, 6, 6}, {norm, affine}, false, true},
      {"WeightsAlone", {2, 8, 6, 6}, {plain, plain}},
      {"LargeMean", {4, 16, 16, 16}, {norm, norm}, true, false, 30},
      {"ManyTerms", {2, 8, 5, 5}, std::vector<Kind>(48, norm), true, true},
  };
}

/// A mix with numbers of its own; all in double on the CPU.
struct Numbers {
  Tensors x;
  Tensor weights, g;
  Tensors gamma, beta;  // of each term
};

Numbers numbers(const Case& c, at::ScalarType type) {
  Numbers n;
  const auto channels = c.sizes[1];
  for (std::size_t k = 0; k < c.terms.size(); ++k) {
    n.x.push_back((testing::random_images(c.sizes, type) + c.offset).to(type).to(torch::kDouble));
    n.gamma.push_back(torch::rand({channels}) + 0.5);
    n.beta.push_back(torch::randn({channels}));
  }
  n.weights = torch::randn({static_cast<std::int64_t>(c.terms.size())});
  n.g = testing::random_images(c.sizes, type);
  return n;
}

/// The result, all gradients and the running statistics.
Tensors run(const Case& c, const Numbers& n, torch::Device device, at::ScalarType type, bool train,
            const std::shared_ptr<const RankSum>& sum = nullptr) {
  const auto parameters = type == torch::kDouble ? torch::kDouble : torch::kFloat;
  const auto leaf = [&](const Tensor& values, at::ScalarType as) {
    return values.detach().to(device, as, /*non_blocking=*/false, /*copy=*/true).requires_grad_();
  };
  std::vector<std::unique_ptr<BatchNorm>> norms;
  std::vector<MixInput> inputs;
  Tensors leaves, buffers;
  for (std::size_t k = 0; k < c.terms.size(); ++k) {
    leaves.push_back(leaf(n.x[k], type));
    norms.push_back(nullptr);
    if (c.terms[k] != Kind::plain) {
      norms[k] = std::make_unique<BatchNorm>(
          c.sizes[1],
          BatchNormOptions{.affine = c.terms[k] == Kind::affine, .track_running_stats = c.terms[k] != Kind::untracked});
      norms[k]->to(device, parameters);
      norms[k]->train(train);
      norms[k]->share_statistics(sum);
    }
    inputs.push_back({leaves.back(), norms[k].get()});
  }
  Tensor weights;
  if (c.weighted) leaves.push_back(weights = leaf(n.weights, parameters));
  for (std::size_t k = 0; k < c.terms.size(); ++k) {
    if (!norms[k]) continue;
    const torch::NoGradGuard no_grad;
    if (c.terms[k] == Kind::affine) {
      norms[k]->weight().copy_(n.gamma[k]);
      norms[k]->bias().copy_(n.beta[k]);
      leaves.push_back(norms[k]->weight());
      leaves.push_back(norms[k]->bias());
    }
    if (norms[k]->running_mean().defined()) {
      buffers.push_back(norms[k]->running_mean());
      buffers.push_back(norms[k]->running_var());
    }
  }
  const Tensor out = mix(inputs, weights, c.relu);
  EXPECT_EQ(out.scalar_type(), type);
  EXPECT_EQ(out.device().type(), device.type());
  EXPECT_TRUE(out.is_contiguous(torch::MemoryFormat::ChannelsLast));
  Tensors results = torch::autograd::grad({out}, leaves, {n.g.to(device, type)});
  results.push_back(out.detach());
  results.insert(results.end(), buffers.begin(), buffers.end());
  return results;
}

class MixOnGpu : public testing::OnGpu {};

TEST_F(MixOnGpu, AgreesWithTheCpu) {
  for (const Case& c : cases()) {
    for (const at::ScalarType type : {torch::kDouble, torch::kFloat, torch::kBFloat16}) {
      for (const bool train : {true, false}) {
        SCOPED_TRACE(c.name + " " + c10::toString(type) + (train ? " train" : " eval"));
        const Numbers n = numbers(c, type);
        expect_close(run(c, n, torch::kCUDA, type, train), run(c, n, torch::kCPU, torch::kDouble, train),
                     testing::tolerance_of(type));
      }
    }
  }
}

TEST_F(MixOnGpu, SharesItsStatisticsWithAnotherProcess) {
  for (const Case& c : cases()) {
    for (const at::ScalarType type : {torch::kDouble, torch::kFloat, torch::kBFloat16}) {
      SCOPED_TRACE(c.name + " " + c10::toString(type));
      const Numbers own = numbers(c, type);
      Numbers both = own;
      for (Tensor& x : both.x) x = torch::cat({x, x});
      both.g = torch::cat({own.g, own.g});
      const auto sum = std::make_shared<testing::SumWithTwin>();
      const Tensors actual = run(c, own, torch::kCUDA, type, true, sum);
      Tensors expected = run(c, both, torch::kCPU, torch::kDouble, true);
      bool gradient = true;  // until the result comes; behind it are the running statistics
      for (std::size_t i = 0; i < expected.size(); ++i) {
        if (i >= c.terms.size() && expected[i].dim() == 4) gradient = false;
        if (expected[i].dim() == 4) {
          expected[i] = expected[i].chunk(2)[0];
        } else if (gradient) {
          expected[i] = expected[i] / 2;  // that of a parameter is a sum over the processes
        }
      }
      expect_close(actual, expected, testing::tolerance_of(type));
      const bool normalises = std::ranges::any_of(c.terms, [](Kind kind) { return kind != Kind::plain; });
      EXPECT_EQ(sum->messages(), normalises ? 2 : 0);
    }
  }
}

TEST_F(MixOnGpu, GivesTheSameBitsInEveryRun) {
  for (const Case& c : cases()) {
    for (const at::ScalarType type : {torch::kDouble, torch::kFloat, torch::kBFloat16}) {
      SCOPED_TRACE(c.name);
      const Numbers n = numbers(c, type);
      const Tensors first = run(c, n, torch::kCUDA, type, true);
      for (int i = 0; i < 5; ++i) expect_same_bits(run(c, n, torch::kCUDA, type, true), first);
    }
  }
}

// One outlier where a sum of squares begins must not cost the others their digits.
TEST_F(MixOnGpu, KeepsItsAccuracyBesideAnOutlier) {
  const Case c{"", {8, 4, 32, 32}, {Kind::norm}, false};
  Numbers n = numbers(c, torch::kFloat);
  n.x[0].index_put_({0, torch::indexing::Slice(), 0, 0}, 1e4);
  expect_close(run(c, n, torch::kCUDA, torch::kFloat, true), run(c, n, torch::kCPU, torch::kDouble, true), 1e-4);
}

TEST_F(MixOnGpu, ReadsSlicesOfStackedChannels) {
  for (const std::int64_t channels : {8, 5}) {
    for (const at::ScalarType type : {torch::kDouble, torch::kFloat, torch::kBFloat16}) {
      SCOPED_TRACE(std::to_string(channels) + " " + c10::toString(type));
      const Tensor stacked = testing::random_images({2, 3 * channels, 6, 5}, type);
      const Tensor g = testing::random_images({2, channels, 6, 5}, type);
      const Tensor weights = torch::randn({3}, torch::kFloat);
      const auto pass = [&](torch::Device device, at::ScalarType as) -> Tensors {
        const Tensor all = stacked.to(device, as).detach().requires_grad_();
        const Tensor w = weights.to(device).detach().requires_grad_();
        BatchNorm first(channels, {.affine = false}), last(channels, {.affine = false});
        first.to(device);
        last.to(device);
        const std::vector<MixInput> inputs{{all.narrow(1, 0, channels), &first},
                                           {all.narrow(1, channels, channels), nullptr},
                                           {all.narrow(1, 2 * channels, channels), &last}};
        const Tensor out = mix(inputs, w, /*relu=*/true);
        Tensors results = torch::autograd::grad({out}, {all, w}, {g.to(device, as)});
        results.push_back(out);
        return results;
      };
      // In double as well: op weights and statistics of float.
      expect_close(pass(torch::kCUDA, type), pass(torch::kCPU, torch::kDouble),
                   std::max(testing::tolerance_of(type), 1e-6));
    }
  }
}

TEST_F(MixOnGpu, TakesAnyLayoutOfItsInputs) {
  const Tensor x = torch::randn({2, 8, 5, 6}, torch::kCUDA);
  const Tensor y = torch::randn({2, 8, 1, 1}, torch::kCUDA).expand({2, 8, 5, 6});
  const std::vector<MixInput> inputs{{x}, {y}};
  expect_close(mix(inputs), x + y, 1e-6);
}

TEST_F(MixOnGpu, ComputesOnlyTheGradientsAskedFor) {
  const Case c{"", {2, 16, 8, 8}, {Kind::norm, Kind::plain, Kind::norm}};
  const Numbers n = numbers(c, torch::kFloat);
  const Tensors all = run(c, n, torch::kCUDA, torch::kFloat, true);
  const auto pass = [&](bool x_needs, bool weights_need) {
    BatchNorm first(16, {.affine = false}), last(16, {.affine = false});
    first.to(torch::kCUDA);
    last.to(torch::kCUDA);
    Tensors x;
    for (const Tensor& values : n.x) x.push_back(values.to(torch::kCUDA, torch::kFloat).requires_grad_(x_needs));
    const Tensor weights = n.weights.to(torch::kCUDA).requires_grad_(weights_need);
    const std::vector<MixInput> inputs{{x[0], &first}, {x[1], nullptr}, {x[2], &last}};
    mix(inputs, weights).backward(n.g.to(torch::kCUDA, torch::kFloat));
    return Tensors{x[0].grad(), x[1].grad(), x[2].grad(), weights.grad()};
  };
  const Tensors alpha_only = pass(false, true);
  for (int k = 0; k < 3; ++k) EXPECT_FALSE(alpha_only[k].defined());
  EXPECT_TRUE(torch::equal(alpha_only[3], all[3]));
  const Tensors inputs_only = pass(true, false);
  EXPECT_FALSE(inputs_only[3].defined());
  for (int k = 0; k < 3; ++k) EXPECT_TRUE(torch::equal(inputs_only[k], all[k]));
}

TEST_F(MixOnGpu, ReadsAnInputOfWeightZeroForItsStatisticsAlone) {
  BatchNorm norm(4, {.affine = false});
  norm.to(torch::kCUDA);
  const Tensor x = torch::randn({2, 4, 3, 3}, torch::kCUDA).requires_grad_();
  const Tensor y = (torch::randn({2, 4, 3, 3}, torch::kCUDA) + 5).requires_grad_();
  const Tensor bad = torch::full({2, 4, 3, 3}, std::nan(""), torch::kCUDA).requires_grad_();
  const Tensor weights = torch::tensor({2.0F, 0.0F, 0.0F}).to(torch::kCUDA);
  const std::vector<MixInput> inputs{{x}, {y, &norm}, {bad}};
  const Tensor out = mix(inputs, weights);
  EXPECT_TRUE(torch::equal(out, 2 * x));
  out.backward(torch::ones_like(out));
  EXPECT_TRUE(torch::equal(x.grad(), torch::full_like(x, 2)));
  EXPECT_TRUE(torch::equal(y.grad(), torch::zeros_like(y)));
  EXPECT_TRUE(torch::equal(bad.grad(), torch::zeros_like(bad)));
  expect_close(norm.running_mean(), 0.1 * y.mean({0, 2, 3}), 1e-5);
}

TEST_F(MixOnGpu, LeavesFrozenStatisticsAlone) {
  BatchNorm norm(4, {.affine = false});
  norm.to(torch::kCUDA);
  norm.set_statistics_updates(false);
  const Tensor x = torch::randn({2, 4, 3, 3}, torch::kCUDA);
  expect_close(mix_norm(x, norm), torch::batch_norm(x, {}, {}, {}, {}, true, 0.1, 1e-5, false), 1e-5);
  EXPECT_TRUE(torch::equal(norm.running_mean(), torch::zeros({4}, torch::kCUDA)));
  EXPECT_TRUE(torch::equal(norm.running_var(), torch::ones({4}, torch::kCUDA)));
}

TEST_F(MixOnGpu, PassesNaNThroughTheRelu) {
  Tensor x = torch::randn({1, 4, 2, 2}, torch::kCUDA);
  x[0][1][0][1] = std::nan("");
  const std::vector<MixInput> inputs{{x}};
  EXPECT_TRUE(torch::equal(mix(inputs, {}, true).isnan(), x.isnan()));
}

TEST_F(MixOnGpu, WorksInsideACudaGraph) {
  BatchNorm norm(16, {.affine = false});
  norm.to(torch::kCUDA);
  const Tensor x = torch::randn({4, 16, 8, 8}, torch::kCUDA).contiguous(torch::MemoryFormat::ChannelsLast);
  x.requires_grad_();
  const Tensor weights = torch::randn({2}, torch::kCUDA).requires_grad_();
  const Tensor g = torch::randn_like(x.detach());
  const auto pass = [&]() -> Tensors {
    const std::vector<MixInput> inputs{{x, &norm}, {x}};
    const Tensor out = mix(inputs, weights, true);
    Tensors results = torch::autograd::grad({out}, {x, weights}, {g});
    results.push_back(out.detach());
    return results;
  };
  const auto stream = c10::cuda::getStreamFromPool();
  at::cuda::CUDAGraph graph;
  Tensors captured;
  {
    const c10::cuda::CUDAStreamGuard guard(stream);
    const testing::NoSynchronisation none;
    pass();
    graph.capture_begin();
    captured = pass();
    graph.capture_end();
    const torch::NoGradGuard no_grad;
    x.copy_(torch::randn_like(x));
    weights.copy_(torch::randn_like(weights));
    graph.replay();
  }
  torch::cuda::synchronize();
  const Tensors expected = pass();
  expect_same_bits(captured, expected);
}

TEST_F(MixOnGpu, RefusesWhatItCannotTake) {
  const Tensor x = torch::randn({2, 4, 3, 3}, torch::kCUDA);
  const std::vector<MixInput> one{{x}};
  EXPECT_THROW(mix(one, torch::ones({1})), c10::Error);  // weights on the CPU
  const std::vector<MixInput> mixed{{x}, {x.cpu()}};
  EXPECT_THROW(mix(mixed), c10::Error);
  EXPECT_THROW(mix(std::vector<MixInput>(49, {x})), c10::Error);
  BatchNorm norm(4);
  EXPECT_THROW(mix_norm(x, norm), c10::Error);  // parameters on the CPU
  norm.to(torch::kCUDA);
  const std::vector<MixInput> shared{{x, &norm}, {x, &norm}};
  EXPECT_THROW(mix(shared), c10::Error);  // both move the same statistics
}

TEST_F(MixOnGpu, TakesNoImages) {
  BatchNorm norm(4, {.affine = false});
  norm.to(torch::kCUDA);
  const Tensor x = torch::empty({0, 4, 3, 3}, torch::kCUDA).requires_grad_();
  const std::vector<MixInput> inputs{{x}};
  const Tensor out = mix(inputs);
  out.sum().backward();
  EXPECT_EQ(out.sizes(), x.sizes());
  EXPECT_EQ(x.grad().sizes(), x.sizes());
}

}  // namespace
}  // namespace flowdarts
