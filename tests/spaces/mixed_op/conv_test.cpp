// The 3x3 and 1x1 convolutions of a mixed op against LibTorch's.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <flowdarts/spaces/mixed_op/conv_stack.hpp>
#include <flowdarts/spaces/mixed_op/pointwise.hpp>

#include "layers.hpp"

namespace flowdarts::mixed_op {
namespace {

using flowdarts::testing::expect_close;
using flowdarts::testing::expect_gradients_of_differences;
using flowdarts::testing::expect_same_for_any_threads;
using flowdarts::testing::expect_variants_agree;
using flowdarts::testing::random_images;
using flowdarts::testing::Tensors;
using flowdarts::testing::tolerance;
using flowdarts::testing::with_gradients;
using flowdarts::testing::with_gradients_in_double;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

struct Shape {
  std::int64_t batch, channels, height, width, convs;
};

std::vector<Shape> shapes() {
  return {
      {2, 16, 8, 8, 3}, {3, 5, 7, 9, 2},   {1, 1, 1, 1, 1},  {2, 33, 6, 5, 2},
      {5, 48, 4, 4, 1}, {1, 20, 2, 33, 3}, {70, 3, 2, 2, 1}, {1, 64, 16, 16, 3},
  };
}

std::string text(const Shape& s) {
  return c10::str("x [", s.batch, ", ", s.channels, ", ", s.height, ", ", s.width, "], ", s.convs, " convolutions");
}

constexpr std::array types{torch::kDouble, torch::kFloat, torch::kBFloat16};

torch::Tensor doubles(at::IntArrayRef sizes) {
  return torch::randn(sizes, torch::kDouble);
}

torch::Tensor exactly(const torch::Tensor& x) {
  return x.to(torch::kDouble).contiguous();
}

InputGradient coefficients(std::int64_t channels, bool reads_y) {
  const auto numbers = [&] {
    const torch::Tensor values = doubles({channels});
    return std::vector<double>(values.const_data_ptr<double>(), values.const_data_ptr<double>() + channels);
  };
  return reads_y ? InputGradient{numbers(), numbers(), numbers()} : InputGradient{numbers(), {}, {}};
}

torch::Tensor per_channel(const std::vector<double>& values) {
  return torch::tensor(values, torch::kDouble).view({1, -1, 1, 1});
}

/// a g + b y + d
torch::Tensor output_gradient(const InputGradient& c, const torch::Tensor& g, const torch::Tensor& y) {
  const torch::Tensor first = per_channel(c.a) * exactly(g);
  return c.b.empty() ? first : first + per_channel(c.b) * exactly(y) + per_channel(c.d);
}

/// The kernels on a whole batch in one call: outputs, dx, and the weights' gradients, all in double.
template <class T>
Tensors run_kernels(const Shape& s, const torch::Tensor& x, const Tensors& weights, const Tensors& biases,
                    const Tensors& gs, const std::vector<InputGradient>& gradients) {
  using A = Compute<T>;
  const auto wide = std::is_same_v<A, double> ? torch::kDouble : torch::kFloat;
  const ConvShape shape{s.height, s.width, s.channels, s.convs};
  const auto transformed = [&](const torch::Tensor& filters) {  // [3, 3, ...]
    const torch::Tensor from = filters.to(wide).contiguous();
    const std::int64_t count = from.numel() / 9;
    torch::Tensor to = torch::empty({winograd_positions, count}, wide);
    winograd_weights(from.const_data_ptr<A>(), count, 0, count / 2, to.mutable_data_ptr<A>());
    winograd_weights(from.const_data_ptr<A>(), count, count / 2, count, to.mutable_data_ptr<A>());
    return to;
  };
  const torch::Tensor stacked = torch::stack(weights);  // [convs, out, in, 3, 3]
  const torch::Tensor forward = transformed(stacked.permute({3, 4, 2, 0, 1}));
  const torch::Tensor backward = transformed(stacked.permute({3, 4, 0, 1, 2}));
  std::vector<A> scratch(static_cast<std::size_t>(shape.scratch(s.batch)), std::numeric_limits<A>::quiet_NaN());
  Tensors ys, kept;
  std::vector<ConvOutput<T>> outputs;
  for (std::size_t c = 0; c < weights.size(); ++c) {
    ys.push_back(empty_channels_last(x));
    kept.push_back(biases[c].defined() ? biases[c].to(wide) : torch::Tensor());
    outputs.push_back({rows<T>(ys[c]), kept[c].defined() ? kept[c].const_data_ptr<A>() : nullptr});
  }
  convs_forward<T>(shape, s.batch, rows<const T>(x), forward.const_data_ptr<A>(), outputs, scratch.data());
  std::vector<std::vector<A>> numbers;
  numbers.reserve(3 * weights.size());
  std::vector<ConvGradient<T>> from;
  for (std::size_t c = 0; c < weights.size(); ++c) {
    const auto as = [&](const std::vector<double>& values) {
      return values.empty() ? nullptr : numbers.emplace_back(values.begin(), values.end()).data();
    };
    const InputGradient& g = gradients[c];
    from.push_back(
        {rows<const T>(gs[c]), g.b.empty() ? Rows<const T>() : rows<const T>(ys[c]), as(g.a), as(g.b), as(g.d)});
  }
  const torch::Tensor dx = empty_channels_last(x), dx_alone = empty_channels_last(x);
  const torch::Tensor sums = torch::zeros({shape.transformed_weights()}, wide), sums_alone = torch::zeros_like(sums);
  convs_backward<T>(shape, s.batch, rows<const T>(x), backward.const_data_ptr<A>(), from, mutable_elements<T>(dx),
                    sums.mutable_data_ptr<A>(), scratch.data());
  convs_backward<T>(shape, s.batch, {}, backward.const_data_ptr<A>(), from, mutable_elements<T>(dx_alone), nullptr,
                    scratch.data());
  convs_backward<T>(shape, s.batch, rows<const T>(x), nullptr, from, nullptr, sums_alone.mutable_data_ptr<A>(),
                    scratch.data());
  EXPECT_TRUE(torch::equal(dx, dx_alone));
  EXPECT_TRUE(torch::equal(sums, sums_alone));
  const std::int64_t count = shape.weights() / 9;
  const torch::Tensor dw = torch::empty({3, 3, s.channels, s.convs, s.channels}, wide);
  winograd_weight_gradients(sums.const_data_ptr<A>(), count, 0, count, dw.mutable_data_ptr<A>());
  Tensors all = ys;
  all.push_back(dx);
  for (const torch::Tensor& one : dw.permute({3, 4, 2, 0, 1}).unbind()) all.push_back(one);
  for (torch::Tensor& tensor : all) tensor = exactly(tensor);
  return all;
}

TEST(ConvKernels, AgreeWithLibTorchOnEveryInstructionSet) {
  torch::manual_seed(1);
  for (const Shape& s : shapes()) {
    for (const torch::Dtype type : types) {
      SCOPED_TRACE(text(s) + ", " + c10::toString(type));
      const torch::Tensor x = random_images(s.batch, s.channels, s.height, s.width, type);
      Tensors weights, biases, gs;
      std::vector<InputGradient> gradients;
      for (std::int64_t c = 0; c < s.convs; ++c) {
        weights.push_back(doubles({s.channels, s.channels, 3, 3}));
        biases.push_back(c == 1 ? doubles({s.channels}) : torch::Tensor());
        gs.push_back(random_images(s.batch, s.channels, s.height, s.width, type));
        gradients.push_back(coefficients(s.channels, /*reads_y=*/c != 2));
      }
      const auto run = [&] {
        return with_type(type, [&]<class T>() { return run_kernels<T>(s, x, weights, biases, gs, gradients); });
      };
      Tensors expected, dws;
      const torch::Tensor rectified = exactly(x).relu();
      torch::Tensor dx = torch::zeros_like(rectified);
      const Tensors found = run();
      for (std::size_t c = 0; c < weights.size(); ++c) {
        expected.push_back(torch::conv2d(rectified, weights[c], biases[c], 1, 1));
        const torch::Tensor dy = output_gradient(gradients[c], gs[c], found[c]);
        auto [own_dx, dw, db] = at::convolution_backward(dy, rectified, weights[c], at::OptionalIntArrayRef(), {1, 1},
                                                         {1, 1}, {1, 1}, false, {0, 0}, 1, {true, true, false});
        dx += own_dx;
        dws.push_back(dw);
      }
      expected.push_back(dx);
      expected.insert(expected.end(), dws.begin(), dws.end());
      expect_close(found, expected, tolerance(type));
      expect_variants_agree(run, tolerance(type));
    }
  }
}

TEST(ReluConv3x3, AgreesWithLibTorch) {
  torch::manual_seed(2);
  for (const Shape& s : shapes()) {
    for (const torch::Dtype type : types) {
      SCOPED_TRACE(text(s) + ", " + c10::toString(type));
      // Weights are float32 at least; bfloat16 activations need numbers that both sides round alike.
      const torch::Tensor weight =
          doubles({s.channels, s.channels, 3, 3}).to(type).to(type == torch::kDouble ? torch::kDouble : torch::kFloat);
      const Tensors inputs{random_images(s.batch, s.channels, s.height, s.width, type), weight};
      const torch::Tensor g = random_images(s.batch, s.channels, s.height, s.width, type);
      const auto ours = [](const Tensors& in) { return relu_conv3x3(in[0], in[1]); };
      const auto theirs = [](const Tensors& in) { return torch::conv2d(in[0].relu(), in[1], {}, 1, 1); };
      expect_close(with_gradients(ours, inputs, g), with_gradients_in_double(theirs, inputs, g), tolerance(type));
    }
  }
}

TEST(ReluConv3x3, HasTheGradientsOfDifferences) {
  torch::manual_seed(3);
  const Tensors inputs{random_images(2, 3, 5, 4, torch::kDouble), doubles({3, 3, 3, 3})};
  expect_gradients_of_differences([](const Tensors& in) { return relu_conv3x3(in[0], in[1]); }, inputs,
                                  random_images(2, 3, 5, 4, torch::kDouble));
}

TEST(ReluConv3x3, GivesTheSameBitsForAnyNumberOfThreads) {
  torch::manual_seed(4);
  const Tensors inputs{random_images(37, 16, 8, 8, torch::kFloat), torch::randn({16, 16, 3, 3})};
  const torch::Tensor g = random_images(37, 16, 8, 8, torch::kFloat);
  expect_same_for_any_threads(
      [&] { return with_gradients([](const Tensors& in) { return relu_conv3x3(in[0], in[1]); }, inputs, g); });
}

TEST(ReluConv3x3, LetsNanThrough) {
  torch::Tensor x = torch::zeros({1, 2, 4, 4});
  x[0][1][2][2] = NAN;
  EXPECT_TRUE(relu_conv3x3(x, torch::ones({2, 2, 3, 3}))[0][0][2][2].isnan().item<bool>());
}

TEST(ReluConv3x3, RefusesWhatDoesNotFit) {
  const auto message = [](const std::string& part) { return ThrowsMessage<c10::Error>(HasSubstr(part)); };
  const torch::Tensor x = torch::zeros({1, 2, 4, 4});
  EXPECT_THAT([&] { relu_conv3x3(x[0], torch::zeros({2, 2, 3, 3})); }, message("found 3 dimensions"));
  EXPECT_THAT([&] { relu_conv3x3(x, torch::zeros({2, 3, 3, 3})); }, message("expected weights [2, 2, 3, 3]"));
  EXPECT_THAT([&] { relu_conv3x3(x, torch::zeros({2, 2, 1, 1})); }, message("expected weights [C, C, 3, 3]"));
}

TEST(ConvStack, KnowsTheMomentsOfItsOutputs) {
  torch::manual_seed(5);
  for (const torch::Dtype type : types) {
    SCOPED_TRACE(c10::toString(type));
    const torch::Tensor x = random_images(9, 16, 6, 6, type);
    const auto wide = type == torch::kDouble ? torch::kDouble : torch::kFloat;
    const ConvStack stack({{torch::randn({16, 16, 3, 3}, wide), torch::randn({16}, wide)},
                           {torch::randn({16, 16, 3, 3}, wide), torch::randn({16}, wide)}});
    const auto outputs = stack.forward(x, /*moments=*/true);
    const auto again = stack.forward(x, /*moments=*/false);
    ASSERT_EQ(outputs.size(), 2U);
    for (std::size_t c = 0; c < outputs.size(); ++c) {
      const auto& [y, moments] = outputs[c];
      EXPECT_TRUE(torch::equal(again[c].y, y));
      EXPECT_EQ(moments.count, 9 * 6 * 6);
      const torch::Tensor exact = exactly(y);
      expect_close(torch::tensor(moments.mean, torch::kDouble), exact.mean({0, 2, 3}), 1e-5);
      expect_close(torch::tensor(moments.squares, torch::kDouble), exact.var({0, 2, 3}, false) * moments.count, 1e-5);
    }
  }
}

/// What a pass through ReLU, 1x1 convolution, batch norm and a weight gives, by PointwiseConv and its kernels.
template <class T>
Tensors run_pointwise(const torch::Tensor& x, const torch::Tensor& weight, const torch::Tensor& bias,
                      const BatchNorm& norm, double op_weight, const torch::Tensor& g) {
  using A = Compute<T>;
  const std::int64_t channels = x.size(1);
  const PixelRange pixels{0, pixel_count(x)};
  std::vector<A> scratch(static_cast<std::size_t>(pointwise_scratch(channels, 2)));
  CovarianceSums sums(x);
  for (std::int64_t image = 0; image < x.size(0); ++image) sums.add(image);
  const Covariance covariance = sums.result();
  PointwiseConv conv(weight, bias, norm.uses_batch_statistics() ? &covariance : nullptr);
  conv.normalise(norm, conv.moments());
  const auto rounded = [](const std::vector<double>& values) { return std::vector<A>(values.begin(), values.end()); };

  const auto [matrix, shift] = conv.contribution(op_weight);
  const torch::Tensor out = empty_channels_last(x);
  const PointwiseTerm<T> term{rows<const T>(x), true};
  pointwise_sum<T>(std::span(&term, 1), rounded(matrix).data(), rounded(shift).data(), pixels, channels,
                   mutable_elements<T>(out), scratch.data());

  std::vector<A> products(static_cast<std::size_t>(channels * channels));
  outer_products<T>(rows<const T>(x), rows<const T>(g), pixels, channels, products.data(), scratch.data());
  const std::vector<double> wide(products.begin(), products.end());
  const torch::Tensor sum = exactly(g).sum({0, 2, 3});
  const std::span<const double> total(sum.const_data_ptr<double>(), static_cast<std::size_t>(channels));
  const std::vector<double> dot = conv.dot(total, wide);
  const InputGradient gradient = input_gradient(conv.norm(), op_weight, total, dot);
  std::vector<double> matrices(2 * wide.size()), constant(total.size());
  conv.add_input_gradient(gradient, std::span(matrices).first(wide.size()), std::span(matrices).last(wide.size()),
                          constant);
  const torch::Tensor dx = empty_channels_last(x);
  const std::array<PointwiseTerm<T>, 2> terms{{{rows<const T>(g), false}, {rows<const T>(x), true}}};
  pointwise_sum<T>(terms, rounded(matrices).data(), rounded(constant).data(), pixels, channels, mutable_elements<T>(dx),
                   scratch.data());
  return {exactly(out), exactly(dx) * (exactly(x) > 0), conv.weight_gradient(gradient, total, wide),
          torch::tensor(term_gradient(conv.norm(), op_weight, total, dot).weight, torch::kDouble)};
}

TEST(PointwiseConv, AgreesWithLibTorch) {
  torch::manual_seed(6);
  constexpr double op_weight = 0.3;
  for (const Shape& s : {Shape{4, 16, 8, 8}, Shape{3, 5, 7, 3}, Shape{2, 33, 9, 9}}) {
    for (const torch::Dtype type : types) {
      for (const bool train : {true, false}) {
        SCOPED_TRACE(text(s) + ", " + c10::toString(type) + (train ? " train" : " eval"));
        BatchNorm norm(s.channels, {.affine = true, .track_running_stats = true});
        norm.to(torch::kDouble);
        norm.train(train);
        const torch::NoGradGuard no_grad;
        norm.weight().copy_(doubles({s.channels}));
        norm.bias().copy_(doubles({s.channels}));
        norm.running_mean().copy_(doubles({s.channels}));
        norm.running_var().copy_(doubles({s.channels}).abs() + 0.5);
        const torch::Tensor x = random_images(s.batch, s.channels, s.height, s.width, type);
        const torch::Tensor g = random_images(s.batch, s.channels, s.height, s.width, type);
        const torch::Tensor weight = doubles({s.channels, s.channels, 1, 1});
        const torch::Tensor bias = doubles({s.channels});
        const auto theirs = [&](const Tensors& in) {
          const torch::Tensor y = torch::conv2d(in[0].relu(), in[1], bias);
          return in[2] * torch::batch_norm(y, norm.weight(), norm.bias(), norm.running_mean().clone(),
                                           norm.running_var().clone(), train, 0.1, norm.eps(), false);
        };
        const Tensors inputs{x, weight, torch::tensor(op_weight, torch::kDouble)};
        const Tensors expected = [&] {
          const torch::AutoGradMode grad(true);
          return with_gradients_in_double(theirs, inputs, g);
        }();
        const auto run = [&] {
          return with_type(type, [&]<class T>() { return run_pointwise<T>(x, weight, bias, norm, op_weight, g); });
        };
        const torch::Tensor mean = norm.running_mean().clone(), var = norm.running_var().clone();
        const auto restored = [&] {
          Tensors results = run();
          norm.running_mean().copy_(mean);
          norm.running_var().copy_(var);
          return results;
        };
        const Tensors found = restored();
        // The op weight's gradient is one sum in which most cancels: relative to the others it is exact enough.
        expect_close(Tensors(found.begin(), found.end() - 1), Tensors(expected.begin(), expected.end() - 1),
                     tolerance(type));
        EXPECT_NEAR(found.back().item<double>(), expected.back().item<double>(),
                    tolerance(type) * static_cast<double>(x.numel()) / 10);
        expect_variants_agree(restored, tolerance(type));
      }
    }
  }
}

}  // namespace
}  // namespace flowdarts::mixed_op
