// Our pools against LibTorch's.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <flowdarts/spaces/mixed_op/pool.hpp>
#include <limits>
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

using Pool = std::function<torch::Tensor(const Tensors&)>;

struct Case {
  std::int64_t batch, channels, height, width;
  PoolOptions options;
};

std::ostream& operator<<(std::ostream& out, const Case& c) {
  return out << "x [" << c.batch << ", " << c.channels << ", " << c.height << ", " << c.width << "], kernel "
             << c.options.kernel << ", stride " << c.options.stride << ", padding " << c.options.padding;
}

Pool our_average(const PoolOptions& options) {
  return [options](const Tensors& inputs) { return average_pool2d(inputs[0], options); };
}

Pool our_max(const PoolOptions& options) {
  return [options](const Tensors& inputs) { return flowdarts::max_pool2d(inputs[0], options); };
}

Pool their_average(const PoolOptions& options) {
  return [options](const Tensors& inputs) {
    return torch::avg_pool2d(inputs[0], options.kernel, options.stride, options.padding, /*ceil_mode=*/false,
                             /*count_include_pad=*/false);
  };
}

Pool their_max(const PoolOptions& options) {
  return [options](const Tensors& inputs) {
    return torch::max_pool2d(inputs[0], options.kernel, options.stride, options.padding);
  };
}

torch::Tensor output_gradient(const Case& c, torch::Dtype type) {
  const auto size = [&](std::int64_t n) {
    return (n + 2 * c.options.padding - c.options.kernel) / c.options.stride + 1;
  };
  return random_images(c.batch, c.channels, size(c.height), size(c.width), type);
}

std::vector<Case> cases() {
  std::vector<Case> all{
      {1, 16, 1, 1, {}},         {1, 3, 1, 1, {3, 2, 1}},   {2, 5, 1, 9, {3, 2, 1}},   {2, 5, 9, 1, {3, 1, 1}},
      {2, 4, 10, 7, {3, 2, 0}},  {1, 4, 8, 9, {2, 2, 0}},   {1, 4, 8, 9, {2, 1, 1}},   {1, 20, 11, 9, {5, 1, 2}},
      {1, 20, 11, 9, {5, 2, 2}}, {1, 3, 12, 13, {7, 3, 3}}, {1, 3, 12, 13, {1, 3, 0}}, {2, 6, 15, 16, {2, 3, 0}},
      {1, 3, 16, 15, {8, 1, 4}}, {2, 16, 2, 2, {3, 1, 1}},  {2, 16, 3, 2, {5, 1, 2}},
  };
  for (const std::int64_t stride : {1, 2}) {
    for (const std::int64_t channels : {1, 3, 16, 20, 33}) all.push_back({3, channels, 11, 8, {3, stride, 1}});
  }
  return all;
}

void expect_agreement(const Case& c, const Pool& ours, const Pool& theirs, torch::Dtype type) {
  SCOPED_TRACE(::testing::PrintToString(c) + ", " + c10::toString(type));
  const Tensors inputs{random_images(c.batch, c.channels, c.height, c.width, type)};
  const torch::Tensor g = output_gradient(c, type);
  const Tensors actual = with_gradients(ours, inputs, g);
  EXPECT_TRUE(actual[0].is_contiguous(torch::MemoryFormat::ChannelsLast));
  for (const auto& tensor : actual) EXPECT_EQ(tensor.scalar_type(), type);
  expect_close(actual, with_gradients_in_double(theirs, inputs, g), tolerance(type));
}

TEST(AveragePool, AgreesWithLibTorch) {
  torch::manual_seed(1);
  for (const Case& c : cases()) {
    for (const auto type : {torch::kDouble, torch::kFloat, torch::kBFloat16}) {
      expect_agreement(c, our_average(c.options), their_average(c.options), type);
    }
  }
}

TEST(MaxPool, AgreesWithLibTorch) {
  torch::manual_seed(2);
  for (const Case& c : cases()) {
    for (const auto type : {torch::kDouble, torch::kFloat, torch::kBFloat16}) {
      expect_agreement(c, our_max(c.options), their_max(c.options), type);
    }
  }
}

// Few values, so that most windows hold several largest pixels.
TEST(MaxPool, BreaksTiesAsLibTorchDoes) {
  torch::manual_seed(3);
  for (const Case& c : cases()) {
    SCOPED_TRACE(::testing::PrintToString(c));
    torch::Tensor x = torch::randint(3, {c.batch, c.channels, c.height, c.width}, torch::kDouble);
    x = torch::where(x == 0, -std::numeric_limits<double>::infinity(), x).contiguous(torch::MemoryFormat::ChannelsLast);
    const torch::Tensor g = output_gradient(c, torch::kDouble).round();  // sums of whole numbers are exact
    testing::expect_same_bits(with_gradients(our_max(c.options), {x}, g), with_gradients(their_max(c.options), {x}, g));
  }
}

TEST(MaxPool, TakesNanAsLibTorchDoes) {
  torch::manual_seed(4);
  for (const Case& c : cases()) {
    SCOPED_TRACE(::testing::PrintToString(c));
    torch::Tensor x = random_images(c.batch, c.channels, c.height, c.width, torch::kFloat);
    x.masked_fill_(torch::rand(x.sizes()) < 0.2, std::numeric_limits<float>::quiet_NaN());
    const torch::Tensor g = output_gradient(c, torch::kFloat).round();
    const Tensors actual = with_gradients(our_max(c.options), {x}, g);
    const Tensors expected = with_gradients(their_max(c.options), {x}, g);
    EXPECT_TRUE(torch::allclose(actual[0], expected[0], 0, 0, /*equal_nan=*/true));
    EXPECT_TRUE(torch::equal(actual[1], expected[1]));
  }
}

TEST(Pools, TakeAnyMemoryFormat) {
  torch::manual_seed(5);
  const Case c{2, 6, 9, 7, {3, 2, 1}};
  const torch::Tensor x = random_images(c.batch, c.channels, c.height, c.width, torch::kDouble);
  const torch::Tensor g = output_gradient(c, torch::kDouble);
  const torch::Tensor nchw = x.contiguous();
  const torch::Tensor slice = torch::cat({nchw, nchw}, 3).slice(3, 7);
  for (const Pool& pool : {our_average(c.options), our_max(c.options)}) {
    const Tensors expected = with_gradients(pool, {x}, g);
    for (const torch::Tensor& other : {nchw, slice}) {
      testing::expect_same_bits(with_gradients(pool, {other}, g.contiguous()), expected);
    }
  }
}

TEST(Pools, GradientsAreThoseOfDifferences) {
  torch::manual_seed(6);
  for (const Case& c : {Case{1, 3, 5, 4, {3, 1, 1}}, Case{1, 3, 5, 4, {3, 2, 1}}}) {
    const Tensors inputs{random_images(c.batch, c.channels, c.height, c.width, torch::kDouble)};
    const torch::Tensor g = output_gradient(c, torch::kDouble);
    testing::expect_gradients_of_differences(our_average(c.options), inputs, g);
    testing::expect_gradients_of_differences(our_max(c.options), inputs, g);
  }
}

TEST(Pools, GiveTheSameBitsForAnyNumberOfThreads) {
  torch::manual_seed(7);
  const Case c{5, 16, 32, 32, {3, 1, 1}};
  const Tensors inputs{random_images(c.batch, c.channels, c.height, c.width, torch::kFloat)};
  const torch::Tensor g = output_gradient(c, torch::kFloat);
  for (const Pool& pool : {our_average(c.options), our_max(c.options)}) {
    testing::expect_same_for_any_threads([&] { return with_gradients(pool, inputs, g); });
  }
}

TEST(Pools, EveryInstructionSetAgrees) {
  torch::manual_seed(8);
  for (const Case& c : {Case{2, 33, 17, 19, {3, 1, 1}}, Case{2, 27, 9, 11, {3, 2, 1}}}) {
    for (const auto type : {torch::kFloat, torch::kDouble, torch::kBFloat16}) {
      const Tensors inputs{random_images(c.batch, c.channels, c.height, c.width, type)};
      const torch::Tensor g = output_gradient(c, type);
      for (const Pool& pool : {our_average(c.options), our_max(c.options)}) {
        testing::expect_variants_agree([&] { return with_gradients(pool, inputs, g); }, type == torch::kDouble  ? 1e-13
                                                                                        : type == torch::kFloat ? 1e-6
                                                                                                                : 1e-2);
      }
    }
  }
}

TEST(Pools, TakeAnEmptyBatch) {
  for (const Pool& pool : {our_average({}), our_max({})}) {
    const torch::Tensor empty = torch::empty({0, 4, 5, 6});
    for (const torch::Tensor& result : with_gradients(pool, {empty}, empty)) EXPECT_EQ(result.sizes(), empty.sizes());
  }
}

TEST(Pools, RefuseWhatTheyCannotDo) {
  const torch::Tensor x = torch::ones({2, 4, 5, 6});
  const auto refuses = [](const torch::Tensor& input, const PoolOptions& options, const std::string& message) {
    EXPECT_THAT([&] { average_pool2d(input, options); },
                ThrowsMessage<c10::Error>(HasSubstr("average_pool2d: " + message)));
    EXPECT_THAT([&] { flowdarts::max_pool2d(input, options); },
                ThrowsMessage<c10::Error>(HasSubstr("max_pool2d: " + message)));
  };
  refuses(x[0], {}, "expected an input [batch, channels, height, width], found 3 dimensions");
  refuses(x.to(torch::kInt), {}, "expected an input of type Float, Double or BFloat16, found Int");
  refuses(x.to(torch::kMeta), {}, "expected an input on the CPU, found it on meta");
  refuses(x, {3, 1, 2},
          "expected a kernel from 1 to 8, a stride of at least 1 and a padding from 0 to kernel / 2, found 3, 1, 2");
  refuses(x, {3, 0, 1}, "expected a kernel from 1 to 8");
  refuses(x, {9, 1, 4}, "expected a kernel from 1 to 8");
  refuses(x, {7, 1, 0},
          "expected an input whose padded height and width are at least 7, found [2, 4, 5, 6] padded by 0");

  for (const Pool& pool : {our_average({}), our_max({})}) {
    const torch::Tensor leaf = x.detach().requires_grad_();
    const torch::Tensor out = pool({leaf});
    EXPECT_THAT([&] { torch::autograd::grad({out.sum()}, {leaf}, {}, /*retain_graph=*/true, /*create_graph=*/true); },
                ThrowsMessage<c10::Error>(HasSubstr("its gradient is not differentiable")));
  }
}

}  // namespace
}  // namespace flowdarts
