// The op-by-op supernet and the stand-alone network: gradients, reduced specs, statistics, memory formats,
// initialisation.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <flowdarts/spaces/initialise.hpp>
#include <flowdarts/spaces/nas_bench_201/network.hpp>
#include <flowdarts/spaces/nas_bench_201/supernet.hpp>
#include <flowdarts/spaces/support/error.hpp>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "golden_fill.hpp"

namespace flowdarts::nas_bench_201 {
namespace {

using testing::golden;
using testing::golden_fill;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

const SupernetSpec small{.channels = 4, .cells = 1};

torch::Tensor alpha() {
  return golden({6, 5}, 0.5);
}
torch::Tensor images(std::int64_t size = 8) {
  return golden({3, 3, size, size});
}

std::shared_ptr<OracleSupernet> filled(const SupernetSpec& spec) {
  auto supernet = std::make_shared<OracleSupernet>(spec);
  golden_fill(*supernet);
  return supernet;
}

torch::Tensor loss_of(const torch::Tensor& logits) {
  return torch::cross_entropy_loss(logits, torch::arange(logits.size(0), torch::kInt64));
}

/// dL/dtensor, element by element, by central differences. `loss` reads `tensor` anew each time.
torch::Tensor finite_differences(const torch::Tensor& tensor, const std::function<double()>& loss, double step) {
  const torch::NoGradGuard no_grad;
  torch::Tensor gradient = torch::empty_like(tensor);
  double* values = tensor.data_ptr<double>();
  for (std::int64_t i = 0; i < tensor.numel(); ++i) {
    const double kept = values[i];
    values[i] = kept + step;
    const double up = loss();
    values[i] = kept - step;
    const double down = loss();
    values[i] = kept;
    gradient.data_ptr<double>()[i] = (up - down) / (2 * step);
  }
  return gradient;
}

/// Relative to the largest element.
void expect_close(const torch::Tensor& actual, const torch::Tensor& expected, double relative) {
  ASSERT_EQ(actual.sizes(), expected.sizes());
  EXPECT_LE((actual - expected).abs().max().item<double>(), relative * expected.abs().max().item<double>());
}

/// The scale to compare all gradients on: one alone may be zero, as a bias that the next batch norm cancels.
double largest_of(const std::vector<torch::Tensor>& gradients) {
  double largest = 0;
  for (const auto& gradient : gradients) largest = std::max(largest, gradient.abs().max().item<double>());
  return largest;
}

std::map<std::string, torch::Tensor> buffers_of(const torch::nn::Module& module) {
  std::map<std::string, torch::Tensor> copies;
  for (const auto& item : module.named_buffers()) copies[item.key()] = item.value().clone();
  return copies;
}

TEST(Supernet, HasOneMatrixOfSixEdgesAndFiveOps) {
  const auto shapes = OracleSupernet(small).arch_shapes();
  ASSERT_EQ(shapes.size(), 1U);
  EXPECT_EQ(shapes[0].rows, 6);
  EXPECT_EQ(shapes[0].columns, 5);
}

TEST(Supernet, GradientOfOpWeightsMatchesFiniteDifferences) {
  const auto supernet = filled(small);
  const auto weights = alpha().softmax(1).detach().requires_grad_();
  const auto loss = [&] { return loss_of(supernet->forward(images(), {weights})); };
  supernet->set_statistics_updates(false);
  const auto gradient = torch::autograd::grad({loss()}, {weights})[0];
  expect_close(gradient,
               finite_differences(
                   weights, [&] { return loss().item<double>(); }, 1e-6),
               1e-6);
}

TEST(Supernet, GradientOfNoneIsZeroAndNothingElseIs) {
  const auto supernet = filled(small);
  const auto weights = alpha().softmax(1).detach().requires_grad_();
  const auto gradient = torch::autograd::grad({loss_of(supernet->forward(images(), {weights}))}, {weights})[0];
  EXPECT_TRUE(gradient.select(1, column::none).eq(0).all().item<bool>());
  EXPECT_TRUE(gradient.slice(1, 1).ne(0).all().item<bool>());
}

TEST(Supernet, NoneNeverReadsItsInput) {
  // 0 * infinity would be NaN.
  SupernetSpec spec = small;
  for (auto& row : spec.present) row = {true, false, false, false, false};
  const auto supernet = filled(spec);
  const auto logits = supernet->forward(images(), {torch::full({6, 5}, INFINITY, torch::kFloat64)});
  EXPECT_TRUE(logits.isfinite().all().item<bool>());
}

TEST(Supernet, GradientOfAlphaSumsToZeroOverTheOpsOfAnEdge) {
  const auto supernet = filled(small);
  const auto a = alpha().requires_grad_();
  const auto gradient = torch::autograd::grad({loss_of(supernet->forward(images(), {a.softmax(1)}))}, {a})[0];
  EXPECT_GT(gradient.abs().max().item<double>(), 1e-4);
  EXPECT_LE(gradient.sum(1).abs().max().item<double>(), 1e-15);
}

TEST(Supernet, GradientsOfEachParameterMatchFiniteDifferences) {
  const auto supernet = filled({.channels = 2, .cells = 1, .classes = 3, .conv_bias = true, .affine = true});
  supernet->set_statistics_updates(false);
  const auto weights = alpha().softmax(1);
  const auto loss = [&] { return loss_of(supernet->forward(images(), {weights})); };
  const auto parameters = supernet->named_parameters();
  const auto gradients = torch::autograd::grad({loss()}, supernet->parameters());
  const double largest = largest_of(gradients);
  for (std::size_t p = 0; p < gradients.size(); ++p) {
    SCOPED_TRACE(parameters[p].key());
    // Every parameter once, by its first two elements.
    const auto part = parameters[p].value().detach().flatten().slice(0, 0, 2);
    const auto expected = finite_differences(
        part, [&] { return loss().item<double>(); }, 1e-6);
    EXPECT_LE((gradients[p].flatten().slice(0, 0, 2) - expected).abs().max().item<double>(), 1e-6 * largest);
  }
}

TEST(MixedOp, GradientsMatchFiniteDifferences) {
  const BatchNormOptions norm{.affine = true, .track_running_stats = false};
  std::vector<std::shared_ptr<CandidateOp>> candidates;
  for (int op = 0; op < column::count; ++op) candidates.push_back(make_op(op, 2, /*conv_bias=*/true, norm));
  MixedOp mixed(candidates);
  golden_fill(mixed);
  const auto x = golden({2, 2, 5, 5}).requires_grad_();
  const auto weights = golden({5}, 0.5, 1.0).requires_grad_();
  const auto outer = golden({2, 2, 5, 5}, 1.0, 0.3);
  const auto value = [&] { return (mixed.forward(x, weights.unbind()) * outer.square()).sum(); };
  std::vector<torch::Tensor> inputs = mixed.parameters();
  inputs.insert(inputs.end(), {x, weights});
  const auto gradients = torch::autograd::grad({value()}, inputs);
  const double largest = largest_of(gradients);
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const auto expected = finite_differences(
        inputs[i].detach(), [&] { return value().item<double>(); }, 1e-5);
    EXPECT_LE((gradients[i] - expected).abs().max().item<double>(), 1e-8 * largest) << "input " << i;
  }
}

TEST(MixedOp, PoolDividesByTheNumberOfPixelsThatExist) {
  const auto x = golden({1, 1, 4, 4});
  const auto y = make_op(column::avg_pool_3x3, 1, false, {})->forward(x);
  EXPECT_NEAR(y[0][0][0][0].item<double>(), x.slice(2, 0, 2).slice(3, 0, 2).mean().item<double>(), 1e-15);
  EXPECT_NEAR(y[0][0][1][0].item<double>(), x.slice(2, 0, 3).slice(3, 0, 2).mean().item<double>(), 1e-15);
}

TEST(Supernet, ReducedSpecEqualsTheFullOneWithZeroWeights) {
  SupernetSpec reduced = small;
  reduced.present[0] = {true, false, false, true, true};
  reduced.present[2] = {false, true, true, false, false};
  reduced.present[3] = {true, false, false, false, false};  // only none
  reduced.present[5] = {};                                  // nothing at all
  const auto full = filled(small);
  const auto part = filled(reduced);
  EXPECT_LT(parameter_count(*part), parameter_count(*full));

  // golden_fill gives a parameter of the same shape the same values in both.
  const auto weights = alpha().softmax(1).detach().requires_grad_();
  auto mask = torch::zeros({6, 5}, torch::kFloat64);
  for (int e = 0; e < 6; ++e) {
    for (int op = 0; op < 5; ++op) mask[e][op] = reduced.present[e][op] ? 1.0 : 0.0;
  }
  for (const bool training : {false, true}) {
    full->train(training);
    part->train(training);
    const auto full_logits = full->forward(images(), {weights * mask});
    const auto part_logits = part->forward(images(), {weights});
    expect_close(part_logits, full_logits, 1e-13);
    const auto full_gradient = torch::autograd::grad({loss_of(full_logits)}, {weights})[0];
    const auto part_gradient = torch::autograd::grad({loss_of(part_logits)}, {weights})[0];
    expect_close(part_gradient, full_gradient, 1e-12);
    EXPECT_TRUE(part_gradient.masked_select(mask == 0).eq(0).all().item<bool>());
  }
}

TEST(Supernet, ConvolutionBiasesCancelInTrainingMode) {
  SupernetSpec biased = small;
  biased.conv_bias = true;
  const auto plain = filled(small), with_bias = filled(biased);
  const auto weights = alpha().softmax(1);
  expect_close(with_bias->forward(images(), {weights}), plain->forward(images(), {weights}), 1e-12);
}

TEST(Supernet, FrozenStatisticsStayBitIdenticalAndChangeNoLogit) {
  const auto frozen = filled(small), moving = filled(small);
  frozen->set_statistics_updates(false);
  const auto before = buffers_of(*frozen);
  ASSERT_FALSE(before.empty());
  const auto weights = alpha().softmax(1);
  EXPECT_TRUE(frozen->forward(images(), {weights}).equal(moving->forward(images(), {weights})));
  const auto moved = buffers_of(*moving);
  for (const auto& [name, value] : buffers_of(*frozen)) {
    EXPECT_TRUE(value.equal(before.at(name))) << name;
    EXPECT_FALSE(value.equal(moved.at(name))) << name;
  }
  frozen->set_statistics_updates(true);
  frozen->forward(images(), {weights});
  for (const auto& [name, value] : buffers_of(*frozen)) EXPECT_TRUE(value.equal(moved.at(name))) << name;
}

TEST(Supernet, EvaluationModeMovesNoStatistics) {
  const auto supernet = filled(small);
  supernet->eval();
  const auto before = buffers_of(*supernet);
  supernet->forward(images(), {alpha().softmax(1)});
  for (const auto& [name, value] : buffers_of(*supernet)) EXPECT_TRUE(value.equal(before.at(name))) << name;
}

TEST(Supernet, ChannelsLastAgreesWithContiguous) {
  const auto contiguous = filled(small), channels_last = filled(small);
  {
    const torch::NoGradGuard no_grad;
    for (auto& p : channels_last->parameters()) {
      if (p.dim() == 4) p.set_data(p.contiguous(at::MemoryFormat::ChannelsLast));
    }
  }
  const auto run = [&](OracleSupernet& supernet, const torch::Tensor& x) {
    const auto weights = alpha().softmax(1).detach().requires_grad_();
    const auto logits = supernet.forward(x, {weights});
    std::vector<torch::Tensor> inputs = supernet.parameters();
    inputs.push_back(weights);
    auto results = torch::autograd::grad({loss_of(logits)}, inputs);
    results.push_back(logits);
    return results;
  };
  const auto expected = run(*contiguous, images());
  const auto actual = run(*channels_last, images().contiguous(at::MemoryFormat::ChannelsLast));
  for (std::size_t i = 0; i < expected.size(); ++i) {
    EXPECT_LE((actual[i] - expected[i]).abs().max().item<double>(), 1e-12) << "result " << i;
  }
}

TEST(Supernet, DependsOnTheNumberOfThreadsByRoundingAloneAndNotOnTiming) {
  const auto supernet = filled(small);
  const int kept = at::get_num_threads();
  const auto run = [&](int threads, at::MemoryFormat format) {
    at::set_num_threads(threads);
    const auto logits = supernet->forward(images(32).contiguous(format), {alpha().softmax(1)});
    std::vector<torch::Tensor> results = torch::autograd::grad({loss_of(logits)}, supernet->parameters());
    results.push_back(logits);
    at::set_num_threads(kept);
    return results;
  };
  for (const auto format : {at::MemoryFormat::Contiguous, at::MemoryFormat::ChannelsLast}) {
    const auto one = run(1, format), two = run(2, format), again = run(2, format);
    for (std::size_t i = 0; i < one.size(); ++i) {
      EXPECT_TRUE(two[i].equal(again[i])) << "result " << i;
      EXPECT_LE((one[i] - two[i]).abs().max().item<double>(), 1e-12) << "result " << i;
    }
  }
}

TEST(Supernet, RefusesBadInputInOneLine) {
  EXPECT_THAT([] { OracleSupernet({.channels = 0}); },
              ThrowsMessage<InputError>("NAS-Bench-201 network: found 0 channels, expected at least 1"));
  EXPECT_THAT([] { OracleSupernet({.cells = -1}); }, ThrowsMessage<InputError>(HasSubstr("found -1 cells")));
  EXPECT_THAT([] { OracleSupernet({.classes = 0}); }, ThrowsMessage<InputError>(HasSubstr("found 0 classes")));
  EXPECT_THAT(
      [] {
        Network({0, 1, 2, 3, 4, 5}, 4, 1, 10);
      },
      ThrowsMessage<InputError>("NAS-Bench-201 op: found column 5, expected 0 to 4"));
  EXPECT_THAT([] { filled(small)->forward(images(30), {alpha()}); },
              ThrowsMessage<InputError>(HasSubstr("found images of shape [3, 3, 30, 30], expected [batch, 3, height")));
}

TEST(Network, RunsConvolutionsOfAZeroNode) {
  // Node 1 is zero; the convolution behind it is not, once its batch norm shifts.
  Network network(
      {column::none, column::skip_connect, column::nor_conv_1x1, column::none, column::none, column::skip_connect}, 4,
      1, 10);
  golden_fill(network);
  network.eval();
  const auto before = network.forward(images());
  const torch::NoGradGuard no_grad;
  network.named_parameters()["backbone.blocks.0.edge2.norm.bias"].add_(1.0);
  EXPECT_GT((network.forward(images()) - before).abs().max().item<double>(), 1e-3);
}

TEST(Network, LeavesItsInputsUntouched) {
  Network network({1, 1, 1, 1, 1, 1}, 4, 1, 10);
  golden_fill(network);
  const auto x = images();
  network.forward(x);
  EXPECT_TRUE(x.equal(images()));
}

std::vector<torch::Tensor> initialised(std::uint64_t seed, torch::Dtype dtype = torch::kFloat32) {
  OracleSupernet supernet({.channels = 4, .cells = 1, .conv_bias = true, .affine = true});
  supernet.to(dtype);
  initialise(supernet, seed);
  return supernet.parameters();
}

TEST(Initialise, GivesTheSameBitsForTheSameSeedOnly) {
  torch::manual_seed(1);
  const auto first = initialised(7);
  torch::manual_seed(2);
  const auto again = initialised(7), other = initialised(8), doubles = initialised(7, torch::kFloat64);
  ASSERT_GT(first.size(), 40U);
  for (std::size_t i = 0; i < first.size(); ++i) {
    EXPECT_TRUE(first[i].equal(again[i]));
    EXPECT_TRUE(first[i].equal(doubles[i].to(torch::kFloat32)));
    const bool norm = first[i].dim() == 1 && first[i].eq(first[i][0]).all().item<bool>();
    EXPECT_EQ(first[i].equal(other[i]), norm);
  }
}

TEST(Initialise, HasTheBoundsOfTheDefaults) {
  OracleSupernet supernet({.channels = 16, .cells = 1, .conv_bias = true, .affine = true});
  initialise(supernet, 3);
  const auto named = supernet.named_parameters();
  const auto expect_uniform = [&](const std::string& name, double fan_in, double variance_tolerance) {
    const auto values = named[name].to(torch::kFloat64);
    EXPECT_LT(values.abs().max().item<double>(), 1 / std::sqrt(fan_in)) << name;
    EXPECT_NEAR(values.square().mean().item<double>() * 3 * fan_in, 1.0, variance_tolerance) << name;
    EXPECT_NEAR(values.mean().item<double>() * std::sqrt(fan_in), 0.0, variance_tolerance) << name;
  };
  expect_uniform("backbone.blocks.4.edge0.op3.conv.weight", 9 * 64, 0.03);
  expect_uniform("backbone.blocks.4.edge0.op3.conv.bias", 9 * 64, 0.5);
  expect_uniform("backbone.blocks.4.edge0.op2.conv.weight", 64, 0.06);
  expect_uniform("backbone.classifier.weight", 64, 0.15);
  expect_uniform("backbone.classifier.bias", 64, 0.7);
  EXPECT_TRUE(named["backbone.last_norm.weight"].eq(1).all().item<bool>());
  EXPECT_TRUE(named["backbone.last_norm.bias"].eq(0).all().item<bool>());
}

TEST(Initialise, GivesEachTensorItsOwnSequence) {
  const auto parameters = initialised(7);
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      if (parameters[i].dim() > 1 && parameters[i].sizes() == parameters[j].sizes()) {
        EXPECT_FALSE(parameters[i].equal(parameters[j])) << i << ' ' << j;
      }
    }
  }
}

TEST(Initialise, RefusesParametersItDoesNotKnow) {
  torch::nn::LSTM lstm(2, 2);
  EXPECT_THROW(initialise(*lstm, 1), std::logic_error);
}

}  // namespace
}  // namespace flowdarts::nas_bench_201
