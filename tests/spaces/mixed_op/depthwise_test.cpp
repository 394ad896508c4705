// Our depthwise convolution against LibTorch's.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <flowdarts/spaces/mixed_op/depthwise.hpp>
#include <ostream>

#include "layers.hpp"

namespace flowdarts {
namespace {

using testing::expect_close;
using ::testing::HasSubstr;
using testing::random_images;
using testing::Tensors;
using ::testing::ThrowsMessage;
using testing::tolerance;
using testing::with_gradients;
using testing::with_gradients_in_double;

struct Case {
  std::int64_t batch, channels, height, width, multiplier, kernel;
  DepthwiseOptions options;
};

std::ostream& operator<<(std::ostream& out, const Case& c) {
  return out << "x [" << c.batch << ", " << c.channels << ", " << c.height << ", " << c.width << "], multiplier "
             << c.multiplier << ", kernel " << c.kernel << ", stride " << c.options.stride << ", padding "
             << c.options.padding << ", dilation " << c.options.dilation << ", relu " << c.options.relu_input;
}

std::function<torch::Tensor(const Tensors&)> ours(const DepthwiseOptions& options) {
  return [options](const Tensors& inputs) { return depthwise_conv2d(inputs[0], inputs[1], options); };
}

std::function<torch::Tensor(const Tensors&)> theirs(const DepthwiseOptions& options) {
  return [options](const Tensors& inputs) {
    const torch::Tensor x = options.relu_input ? inputs[0].relu() : inputs[0];
    return torch::conv2d(x, inputs[1], {}, options.stride, options.padding, options.dilation, x.size(1));
  };
}

Tensors inputs_of(const Case& c, torch::Dtype type) {
  return {random_images(c.batch, c.channels, c.height, c.width, type),
          torch::randn({c.channels * c.multiplier, 1, c.kernel, c.kernel}, torch::kDouble).to(type)};
}

torch::Tensor output_gradient(const Case& c, torch::Dtype type) {
  const auto size = [&](std::int64_t n) {
    return (n + 2 * c.options.padding - (c.kernel - 1) * c.options.dilation - 1) / c.options.stride + 1;
  };
  return random_images(c.batch, c.channels * c.multiplier, size(c.height), size(c.width), type);
}

void expect_agreement(const Case& c, torch::Dtype type) {
  SCOPED_TRACE(::testing::PrintToString(c) + ", " + c10::toString(type));
  const Tensors inputs = inputs_of(c, type);
  const torch::Tensor g = output_gradient(c, type);
  const Tensors actual = with_gradients(ours(c.options), inputs, g);
  EXPECT_TRUE(actual[0].is_contiguous(torch::MemoryFormat::ChannelsLast));
  for (const auto& tensor : actual) EXPECT_EQ(tensor.scalar_type(), type);
  expect_close(actual, with_gradients_in_double(theirs(c.options), inputs, g), tolerance(type));
}

constexpr std::int64_t half_reach(std::int64_t kernel, std::int64_t dilation) {
  return (kernel - 1) * dilation / 2;
}

TEST(Depthwise, AgreesWithLibTorchInEveryShape) {
  torch::manual_seed(1);
  for (const std::int64_t kernel : {3, 5, 7}) {
    for (const std::int64_t stride : {1, 2}) {
      for (const std::int64_t dilation : {1, 2}) {
        for (const std::int64_t multiplier : {1, 2, 5}) {
          for (const std::int64_t channels : {1, 3, 16, 20, 33}) {
            const bool relu = (kernel + stride + dilation + multiplier + channels) % 2 == 0;
            const DepthwiseOptions options{stride, half_reach(kernel, dilation), dilation, relu};
            expect_agreement({2, channels, 11, 8, multiplier, kernel, options}, torch::kDouble);
            if (HasFailure()) return;
          }
        }
      }
    }
  }
}

TEST(Depthwise, AgreesInEveryType) {
  torch::manual_seed(2);
  for (const auto type : {torch::kFloat, torch::kBFloat16}) {
    for (const std::int64_t kernel : {3, 5, 7}) {
      for (const std::int64_t stride : {1, 2}) {
        for (const std::int64_t dilation : {1, 2}) {
          for (const std::int64_t channels : {16, 33}) {
            for (const bool relu : {false, true}) {
              const DepthwiseOptions options{stride, half_reach(kernel, dilation), dilation, relu};
              expect_agreement({3, channels, 9, 14, 1, kernel, options}, type);
              expect_agreement({1, channels, 6, 7, 2, kernel, options}, type);
            }
          }
        }
      }
    }
  }
}

TEST(Depthwise, AgreesInOddCorners) {
  torch::manual_seed(3);
  const std::vector<Case> cases{
      {1, 1, 1, 1, 1, 3, {1, 1, 1}},           // one pixel
      {1, 16, 1, 1, 1, 7, {2, 6, 2, true}},    //
      {2, 3, 1, 9, 4, 5, {1, 2, 1}},           // one row
      {2, 3, 9, 1, 1, 5, {2, 4, 2, true}},     // one column
      {1, 20, 7, 7, 1, 3, {1, 0, 1}},          // no padding
      {1, 20, 7, 7, 3, 7, {1, 0, 1, true}},    // one output pixel
      {2, 5, 6, 4, 1, 3, {1, 5, 1}},           // more padding than the kernel reaches
      {2, 5, 6, 4, 2, 3, {2, 5, 2, true}},     //
      {1, 4, 10, 11, 1, 1, {1, 0, 1, true}},   // a pointwise scale
      {1, 4, 10, 11, 2, 1, {3, 0, 1}},         // pixels that nothing reads
      {1, 4, 10, 11, 1, 2, {3, 1, 3}},         // an even kernel
      {1, 4, 13, 11, 1, 4, {3, 2, 2, true}},   //
      {1, 3, 300, 70, 1, 5, {1, 4, 2, true}},  // several bands of rows
      {1, 3, 301, 70, 3, 5, {2, 2, 1, true}},  //
      {1, 2, 5, 1200, 1, 3, {1, 1, 1}},        // rows longer than a span
      {1, 600, 7, 7, 1, 7, {1, 3, 1, true}},   // many channels
      {40, 3, 20, 6, 1, 3, {1, 1, 1}},         // many parts
  };
  for (const Case& c : cases) expect_agreement(c, torch::kDouble);
}

TEST(Depthwise, TakesAnyMemoryFormat) {
  torch::manual_seed(4);
  const Case c{2, 6, 9, 7, 2, 3, {1, 1, 1, true}};
  const Tensors inputs = inputs_of(c, torch::kDouble);
  const torch::Tensor g = output_gradient(c, torch::kDouble);
  const Tensors expected = with_gradients(ours(c.options), inputs, g);
  const torch::Tensor nchw = inputs[0].contiguous();
  const torch::Tensor slice = torch::cat({nchw, nchw}, 3).slice(3, 7).transpose(2, 3).contiguous().transpose(2, 3);
  const torch::Tensor weight = inputs[1].transpose(2, 3).contiguous().transpose(2, 3);
  for (const torch::Tensor& x : {nchw, slice}) {
    testing::expect_same_bits(with_gradients(ours(c.options), {x, weight}, g.contiguous()), expected);
  }
  const torch::Tensor ones = torch::ones({}, torch::kDouble).expand(g.sizes());
  expect_close(with_gradients(ours(c.options), inputs, ones), with_gradients_in_double(theirs(c.options), inputs, ones),
               1e-10);
}

TEST(Depthwise, TakesAFloatWeightWithBfloat16) {
  torch::manual_seed(5);
  const Case c{2, 16, 9, 7, 1, 3, {1, 1, 1, true}};
  Tensors inputs = inputs_of(c, torch::kBFloat16);
  inputs[1] = torch::randn(inputs[1].sizes());
  const torch::Tensor g = output_gradient(c, torch::kBFloat16);
  const Tensors actual = with_gradients(ours(c.options), inputs, g);
  EXPECT_EQ(actual[0].scalar_type(), torch::kBFloat16);
  EXPECT_EQ(actual[2].scalar_type(), torch::kFloat);
  const Tensors expected = with_gradients_in_double(theirs(c.options), inputs, g);
  expect_close(actual, expected, tolerance(torch::kBFloat16));
  expect_close(actual[2], expected[2], 1e-5);  // sums of exact products, never rounded to bfloat16
}

TEST(Depthwise, ComputesTheGradientsAskedFor) {
  torch::manual_seed(6);
  const Case c{2, 5, 6, 6, 1, 3, {1, 1, 1, true}};
  const Tensors inputs = inputs_of(c, torch::kDouble);
  const torch::Tensor g = output_gradient(c, torch::kDouble);
  const Tensors expected = with_gradients(ours(c.options), inputs, g);
  for (const std::size_t asked : {0, 1}) {
    Tensors leaves{inputs[0].detach(), inputs[1].detach()};
    leaves[asked].requires_grad_();
    depthwise_conv2d(leaves[0], leaves[1], c.options).backward(g);
    EXPECT_TRUE(torch::equal(leaves[asked].grad(), expected[asked + 1]));
    EXPECT_FALSE(leaves[1 - asked].grad().defined());
  }
  EXPECT_FALSE(depthwise_conv2d(inputs[0], inputs[1], c.options).requires_grad());
}

TEST(Depthwise, GradientsAreThoseOfDifferences) {
  torch::manual_seed(7);
  for (const Case& c : {Case{1, 3, 5, 4, 1, 3, {1, 1, 1, true}}, Case{2, 2, 5, 6, 2, 3, {2, 2, 2}}}) {
    testing::expect_gradients_of_differences(ours(c.options), inputs_of(c, torch::kDouble),
                                             output_gradient(c, torch::kDouble));
  }
}

TEST(Depthwise, GivesTheSameBitsForAnyNumberOfThreads) {
  torch::manual_seed(8);
  for (const Case& c : {Case{1, 20, 60, 50, 1, 5, {1, 4, 2, true}}, Case{7, 33, 32, 32, 1, 3, {2, 1, 1}},
                        Case{64, 16, 32, 32, 1, 3, {1, 1, 1, true}}, Case{5, 16, 31, 33, 3, 3, {1, 1, 1, true}}}) {
    for (const auto type : {torch::kFloat, torch::kBFloat16}) {
      SCOPED_TRACE(::testing::PrintToString(c));
      const Tensors inputs = inputs_of(c, type);
      const torch::Tensor g = output_gradient(c, type);
      testing::expect_same_for_any_threads([&] { return with_gradients(ours(c.options), inputs, g); });
    }
  }
}

TEST(Depthwise, EveryInstructionSetAgrees) {
  torch::manual_seed(9);
  for (const Case& c : {Case{2, 33, 17, 19, 1, 5, {1, 4, 2, true}}, Case{2, 27, 9, 11, 2, 3, {2, 1, 1}}}) {
    for (const auto type : {torch::kFloat, torch::kDouble, torch::kBFloat16}) {
      SCOPED_TRACE(::testing::PrintToString(c));
      const Tensors inputs = inputs_of(c, type);
      const torch::Tensor g = output_gradient(c, type);
      testing::expect_variants_agree([&] { return with_gradients(ours(c.options), inputs, g); },
                                     type == torch::kDouble  ? 1e-13
                                     : type == torch::kFloat ? 1e-5
                                                             : 1e-2);
    }
  }
}

TEST(Depthwise, WeightGradientIsAccurateOver65536Samples) {
  torch::manual_seed(10);
  const DepthwiseOptions options{1, 1, 1};
  // The second is one part of the sum, the first many.
  for (const auto& sizes : {std::vector<std::int64_t>{64, 16, 32, 32}, {1, 16, 8, 8192}}) {
    const auto positive = [&] { return torch::rand(sizes).add_(0.5).contiguous(torch::MemoryFormat::ChannelsLast); };
    const Tensors inputs{positive(), torch::randn({16, 1, 3, 3})};
    const torch::Tensor g = positive();
    const torch::Tensor actual = with_gradients(ours(options), inputs, g)[2].to(torch::kDouble);
    const torch::Tensor exact = with_gradients_in_double(theirs(options), inputs, g)[2];
    EXPECT_LE(((actual - exact) / exact).abs().max().item<double>(), 1e-6);
  }
}

TEST(Depthwise, LetsNanThrough) {
  torch::Tensor x = torch::ones({1, 16, 5, 5});
  x[0][3][2][2] = NAN;
  const torch::Tensor out = depthwise_conv2d(x, torch::ones({16, 1, 3, 3}), {.padding = 1, .relu_input = true});
  EXPECT_TRUE(torch::equal(out.isnan(), torch::conv2d(x, torch::ones({16, 1, 3, 3}), {}, 1, 1, 1, 16).isnan()));
}

TEST(Depthwise, TakesAnEmptyBatch) {
  const Tensors results = with_gradients(ours({.padding = 1}), {torch::empty({0, 4, 5, 6}), torch::ones({4, 1, 3, 3})},
                                         torch::empty({0, 4, 5, 6}));
  EXPECT_EQ(results[0].sizes(), torch::IntArrayRef({0, 4, 5, 6}));
  EXPECT_TRUE(torch::equal(results[2], torch::zeros({4, 1, 3, 3})));
}

TEST(Depthwise, RefusesWhatItCannotDo) {
  const torch::Tensor x = torch::ones({2, 4, 5, 6}), weight = torch::ones({4, 1, 3, 3});
  const auto refuses = [](const torch::Tensor& input, const torch::Tensor& filter, const DepthwiseOptions& options,
                          const std::string& message) {
    EXPECT_THAT([&] { depthwise_conv2d(input, filter, options); }, ThrowsMessage<c10::Error>(HasSubstr(message)));
  };
  refuses(x[0], weight, {}, "expected an input [batch, channels, height, width], found 3 dimensions");
  refuses(torch::Tensor(), weight, {}, "found an undefined tensor");
  refuses(x.to(torch::kInt), weight, {}, "expected an input of type Float, Double or BFloat16, found Int");
  refuses(x.to(torch::kMeta), weight, {}, "expected an input on the CPU, found it on meta");
  refuses(x, weight.to(torch::kMeta), {}, "expected a weight on the CPU");
  refuses(x, weight.to(torch::kDouble), {}, "expected a weight of the input's type, Float");
  refuses(x, torch::ones({6, 1, 3, 3}), {},
          "expected a weight [channels * multiplier, 1, k, k] for 4 channels, found [6, 1, 3, 3]");
  refuses(x, torch::ones({4, 2, 3, 3}), {}, "found [4, 2, 3, 3]");
  refuses(x, torch::ones({4, 1, 3, 5}), {}, "found [4, 1, 3, 5]");
  refuses(x, weight, {.stride = 0}, "expected stride and dilation of at least 1");
  refuses(x, weight, {.padding = -1}, "padding of at least 0");
  refuses(x, weight, {.dilation = 3},
          "expected an input whose padded height and width are at least 7, found [2, 4, 5, 6] padded by 0");

  const torch::Tensor leaf = x.detach().requires_grad_();
  const torch::Tensor out = depthwise_conv2d(leaf, weight, {});
  EXPECT_THAT([&] { torch::autograd::grad({out.sum()}, {leaf}, {}, /*retain_graph=*/true, /*create_graph=*/true); },
              ThrowsMessage<c10::Error>(HasSubstr("its gradient is not differentiable")));
}

}  // namespace
}  // namespace flowdarts
