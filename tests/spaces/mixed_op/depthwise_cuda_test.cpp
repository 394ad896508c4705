// The depthwise convolution on a GPU against LibTorch's on a CPU, in double from the same numbers.

#include <flowdarts/spaces/mixed_op/depthwise.hpp>

#include "on_gpu.hpp"

namespace flowdarts {
namespace {

using testing::expect_close;
using torch::Tensor;
using Tensors = std::vector<Tensor>;

struct Case {
  std::vector<std::int64_t> sizes;
  std::int64_t kernel = 3;
  std::int64_t multiplier = 1;
  DepthwiseOptions options = {.padding = 1};
};

std::vector<Case> cases() {
  return {
      {{2, 16, 8, 8}},
      {{2, 16, 9, 7}, 3, 1, {.stride = 2, .padding = 1}},
      {{2, 16, 9, 7}, 3, 1, {.padding = 2, .dilation = 2, .relu_input = true}},
      {{2, 8, 11, 6}, 5, 1, {.stride = 2, .padding = 4, .dilation = 2, .relu_input = true}},
      {{2, 5, 7, 9}, 5, 1, {.padding = 2}},
      {{1, 24, 8, 8}, 7, 1, {.padding = 3}},
      {{3, 6, 5, 5}, 3, 5, {.padding = 1, .relu_input = true}},
      {{2, 16, 6, 6}, 3, 2, {.stride = 2, .padding = 1}},
      {{2, 8, 6, 6}, 1, 1, {}},
      {{2, 8, 6, 6}, 2, 1, {.padding = 1}},
      {{2, 8, 6, 6}, 4, 1, {.stride = 3, .padding = 1}},
      {{2, 1, 6, 6}},
      {{1, 3, 3, 3}, 3, 1, {}},
      {{2, 1040, 3, 3}},
      {{8, 16, 64, 60}},
      {{2, 3, 240, 240}, 5, 1, {.padding = 2}},
      {{0, 8, 6, 6}},
  };
}

struct Numbers {
  Tensor x, weight, g;
};

Numbers numbers(const Case& c, at::ScalarType type) {
  Numbers n;
  n.x = testing::random_images(c.sizes, type);
  n.weight = torch::randn({c.sizes[1] * c.multiplier, 1, c.kernel, c.kernel}, torch::kDouble)
                 .to(type)
                 .to(torch::kDouble)
                 .contiguous();
  const auto reach = (c.kernel - 1) * c.options.dilation + 1;
  const auto out = [&](std::int64_t size) { return (size + 2 * c.options.padding - reach) / c.options.stride + 1; };
  n.g = testing::random_images({c.sizes[0], c.sizes[1] * c.multiplier, out(c.sizes[2]), out(c.sizes[3])}, type);
  return n;
}

Tensors on_gpu(const Case& c, const Numbers& n, at::ScalarType type, at::ScalarType weight_type) {
  const Tensor x = n.x.to(torch::kCUDA, type).requires_grad_();
  const Tensor weight = n.weight.to(torch::kCUDA, weight_type).requires_grad_();
  const Tensor out = depthwise_conv2d(x, weight, c.options);
  EXPECT_TRUE(out.is_contiguous(torch::MemoryFormat::ChannelsLast));
  Tensors results = torch::autograd::grad({out}, {x, weight}, {n.g.to(torch::kCUDA, type)});
  EXPECT_EQ(results[1].scalar_type(), weight_type);
  results.push_back(out.detach());
  return results;
}

Tensors by_libtorch(const Case& c, const Numbers& n) {
  const Tensor x = n.x.detach().clone().requires_grad_();
  const Tensor weight = n.weight.detach().clone().requires_grad_();
  const Tensor out = torch::conv2d(c.options.relu_input ? x.relu() : x, weight, {}, c.options.stride, c.options.padding,
                                   c.options.dilation, c.sizes[1]);
  Tensors results = torch::autograd::grad({out}, {x, weight}, {n.g});
  results.push_back(out.detach());
  return results;
}

class DepthwiseOnGpu : public testing::OnGpu {};

TEST_F(DepthwiseOnGpu, AgreesWithLibTorch) {
  for (const Case& c : cases()) {
    for (const at::ScalarType type : {torch::kDouble, torch::kFloat, torch::kBFloat16}) {
      SCOPED_TRACE(c10::str(c.sizes, " kernel ", c.kernel, " ", type));
      const Numbers n = numbers(c, type);
      expect_close(on_gpu(c, n, type, type), by_libtorch(c, n), testing::tolerance_of(type));
    }
  }
}

TEST_F(DepthwiseOnGpu, TakesAFloatWeightForBFloat16) {
  const Case c{{2, 16, 9, 7}};
  const Numbers n = numbers(c, torch::kBFloat16);
  expect_close(on_gpu(c, n, torch::kBFloat16, torch::kFloat), by_libtorch(c, n), 3e-2);
}

TEST_F(DepthwiseOnGpu, GivesTheSameBitsInEveryRun) {
  for (const Case& c : cases()) {
    for (const at::ScalarType type : {torch::kFloat, torch::kBFloat16}) {
      SCOPED_TRACE(c10::str(c.sizes, " kernel ", c.kernel, " ", type));
      const Numbers n = numbers(c, type);
      const Tensors first = on_gpu(c, n, type, type);
      for (int i = 0; i < 3; ++i) testing::expect_same_bits(on_gpu(c, n, type, type), first);
    }
  }
}

// A weight inside one flat buffer of all weights need not be aligned to vectors.
TEST_F(DepthwiseOnGpu, TakesAWeightAnywhereInMemory) {
  const Tensor x = torch::randn({2, 8, 4, 4}, torch::kCUDA);
  const Tensor weight = torch::randn({9}, torch::kCUDA).narrow(0, 1, 8).view({8, 1, 1, 1});
  expect_close(depthwise_conv2d(x, weight), x * weight.view({1, 8, 1, 1}), 1e-6);
}

TEST_F(DepthwiseOnGpu, ComputesOnlyTheGradientsAskedFor) {
  const Tensor x = torch::randn({2, 8, 4, 4}, torch::kCUDA).requires_grad_();
  const Tensor weight = torch::randn({8, 1, 3, 3}, torch::kCUDA);
  depthwise_conv2d(x, weight, {.padding = 1}).sum().backward();
  EXPECT_TRUE(x.grad().defined());
  EXPECT_FALSE(weight.grad().defined());
}

TEST_F(DepthwiseOnGpu, RefusesTensorsOnTwoDevices) {
  EXPECT_THROW(depthwise_conv2d(torch::randn({2, 8, 4, 4}, torch::kCUDA), torch::randn({8, 1, 3, 3})), c10::Error);
}

}  // namespace
}  // namespace flowdarts
