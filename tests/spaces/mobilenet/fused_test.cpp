// The fused layer and supernet against the oracle: one set of parameters, the same values, gradients and statistics.

#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <flowdarts/spaces/mobilenet/fused_layer.hpp>
#include <flowdarts/spaces/mobilenet/fused_norm.hpp>
#include <flowdarts/spaces/mobilenet/supernet.hpp>
#include <flowdarts/spaces/support/error.hpp>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "../agreement.hpp"
#include "../nas_bench_201/golden_fill.hpp"

namespace flowdarts::mobilenet {
namespace {

using testing::expect_same_layout;
using testing::expect_same_statistics;
using testing::golden;
using testing::golden_fill;
using testing::largest;
using testing::u;
using torch::Tensor;

/// What a pass gives, and its gradients: of the op weights, of the input (where there is one), of w.
struct Pass {
  Tensor out, op_weights, x;
  std::vector<Tensor> weights;
};

/// Differences are relative to the largest element, for w of all gradients together: one alone may be nearly zero, as
/// that of a convolution whose scale the next batch norm cancels.
void expect_close(const Pass& actual, const Pass& expected, double relative) {
  ASSERT_EQ(actual.out.sizes(), expected.out.sizes());
  EXPECT_LE(largest(actual.out - expected.out), relative * largest(expected.out));
  EXPECT_LE(largest(actual.op_weights - expected.op_weights), relative * largest(expected.op_weights));
  if (expected.x.defined()) {
    EXPECT_LE(largest(actual.x - expected.x), relative * largest(expected.x));
  }
  double scale = 0;
  for (const auto& gradient : expected.weights) scale = std::max(scale, largest(gradient));
  ASSERT_EQ(actual.weights.size(), expected.weights.size());
  for (std::size_t i = 0; i < expected.weights.size(); ++i) {
    ASSERT_EQ(actual.weights[i].sizes(), expected.weights[i].sizes());
    EXPECT_LE(largest(actual.weights[i] - expected.weights[i]), relative * scale) << "parameter " << i;
  }
}

struct Case {
  std::string name;
  int layer;
  LayerShape shape;
  std::int64_t batch = 3, height = 8, width = 8;
  std::vector<int> gone{};  // ops that are not present
  std::vector<int> zero{};  // ops of weight 0
};

void PrintTo(const Case& c, std::ostream* out) {
  *out << c.name;
}

std::vector<Case> cases() {
  return {
      {"KeepsItsShape", 1, {4, 4, 1}},
      {"HalvesItsSide", 4, {4, 6, 2}},
      {"ChangesItsWidth", 12, {3, 5, 1}},
      {"OddSides", 8, {5, 3, 2}, 2, 7, 11},
      {"SmallerThanItsKernel", 17, {4, 4, 1}, 3, 2, 3},
      {"OnePixel", 17, {4, 4, 1}, 5, 1, 1},
      {"WholeVectors", 2, {16, 16, 1}, 2, 9, 6},
      {"BatchOfOne", 1, {4, 4, 1}, 1, 12, 10},
      {"MoreImagesThanParts", 1, {2, 2, 1}, 70, 3, 3},
      {"SomeOpsGone", 1, {4, 4, 1}, 3, 8, 8, {0, 3, 4}},
      {"OneOpLeft", 4, {4, 6, 2}, 3, 8, 8, {0, 1, 2, 4, 5}},
      {"SomeWeightsZero", 1, {4, 4, 1}, 3, 8, 8, {}, {1, 2, 5}},
      {"AllWeightsZero", 1, {4, 4, 1}, 3, 8, 8, {}, {0, 1, 2, 3, 4, 5}},
  };
}

std::shared_ptr<FusedLayer> make_layer(const Case& c) {
  SupernetSpec spec;
  for (const int op : c.gone) spec.present[static_cast<std::size_t>(c.layer)][static_cast<std::size_t>(op)] = false;
  auto layer = std::make_shared<FusedLayer>(spec, c.layer, c.shape);
  golden_fill(*layer);
  return layer;
}

Tensor op_weights_of(const Case& c) {
  Tensor weights = golden({1, columns_of(c.layer)}, 0.5).softmax(1);
  for (const int op : c.zero) weights[0][op] = 0;
  return weights;
}

Tensor input_of(const Case& c) {
  return golden({c.batch, c.shape.in, c.height, c.width}, 2.0, 0.3);
}

using Form = std::function<Tensor(FusedLayer&, const Tensor& x, const Tensor& op_weights)>;

Tensor fused(FusedLayer& layer, const Tensor& x, const Tensor& op_weights) {
  return layer.forward(x, op_weights);
}

/// As on a GPU.
Tensor composed(FusedLayer& layer, const Tensor& x, const Tensor& op_weights) {
  layer.compose();
  return layer.forward(x, op_weights);
}

/// The same parameters op by op.
Tensor oracle(FusedLayer& layer, const Tensor& x, const Tensor& op_weights) {
  const Tensor sum = layer.MixedOp::forward(x, op_weights.flatten().unbind());
  const bool shortcut = x.size(1) == sum.size(1) && x.sizes() == sum.sizes();
  return shortcut ? sum + x : sum;
}

Pass run(const Form& form, FusedLayer& layer, const Case& c, at::ScalarType dtype, bool train) {
  layer.to(dtype);
  layer.train(train);
  const Tensor x = input_of(c).to(dtype).requires_grad_();
  const Tensor op_weights = op_weights_of(c).to(dtype).requires_grad_();
  const Tensor out = form(layer, x, op_weights);
  std::vector<Tensor> inputs = layer.parameters();
  inputs.insert(inputs.end(), {x, op_weights});
  auto gradients = torch::autograd::grad({out}, inputs, {golden(out.sizes(), 1.0, 0.2).to(dtype)});
  Pass pass{.out = out.detach(), .op_weights = gradients.back(), .x = gradients[gradients.size() - 2]};
  gradients.resize(gradients.size() - 2);
  pass.weights = std::move(gradients);
  return pass;
}

class MobilenetFusedLayer : public ::testing::TestWithParam<Case> {};

TEST_P(MobilenetFusedLayer, AgreesWithTheOracle) {
  for (const auto& [dtype, relative] : {std::pair{torch::kFloat64, 1e-10}, {torch::kFloat32, 1e-4}}) {
    for (const bool train : {true, false}) {
      SCOPED_TRACE(std::string(c10::toString(dtype)) + (train ? " train" : " eval"));
      const auto other = make_layer(GetParam());
      const Pass expected = run(oracle, *other, GetParam(), dtype, train);
      for (const Form& form : {Form(fused), Form(composed)}) {
        const auto layer = make_layer(GetParam());
        expect_close(run(form, *layer, GetParam(), dtype, train), expected, relative);
        expect_same_statistics(*layer, *other, relative);
      }
    }
  }
}

TEST_P(MobilenetFusedLayer, InBfloat16AgreesWithTheOracle) {
  const auto other = make_layer(GetParam());
  other->to(torch::kFloat32);
  const Tensor x = input_of(GetParam()).to(torch::kBFloat16);
  const Tensor op_weights = op_weights_of(GetParam()).to(torch::kFloat32);
  const Tensor expected = oracle(*other, x.to(torch::kFloat32), op_weights);
  for (const Form& form : {Form(fused), Form(composed)}) {
    const auto layer = make_layer(GetParam());
    layer->to(torch::kFloat32);
    const Tensor actual = form(*layer, x, op_weights);
    EXPECT_EQ(actual.scalar_type(), torch::kBFloat16);
    EXPECT_LE(largest(actual - expected), 3e-2 * largest(expected));
  }
}

TEST_P(MobilenetFusedLayer, GradientsMatchFiniteDifferences) {
  const auto layer = make_layer(GetParam());
  set_statistics_updates(*layer, false);
  const Pass pass = run(fused, *layer, GetParam(), torch::kFloat64, /*train=*/true);
  const torch::NoGradGuard no_grad;
  std::vector<Tensor> inputs = layer->parameters(), gradients = pass.weights;
  const Tensor x = input_of(GetParam()), op_weights = op_weights_of(GetParam());
  inputs.insert(inputs.end(), {x, op_weights});
  gradients.insert(gradients.end(), {pass.x, pass.op_weights});
  const auto value = [&] {
    const Tensor out = fused(*layer, x, op_weights);
    return (out * golden(out.sizes(), 1.0, 0.2)).sum().item<double>();
  };
  // Each tensor by itself, all its elements at once along one direction: so small a step that no ReLU6 changes sides.
  double scale = 0;
  std::vector<double> expected, found;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const Tensor direction = golden(inputs[i].sizes(), 1.0, 0.1), kept = inputs[i].clone();
    constexpr double step = 1e-7;
    inputs[i].add_(direction, step);
    const double up = value();
    inputs[i].copy_(kept).sub_(direction, step);
    const double down = value();
    inputs[i].copy_(kept);
    expected.push_back((up - down) / (2 * step));
    found.push_back((gradients[i] * direction).sum().item<double>());
    scale = std::max(scale, std::abs(found.back()));
  }
  for (std::size_t i = 0; i < inputs.size(); ++i) EXPECT_NEAR(found[i], expected[i], 1e-6 * scale) << "input " << i;
}

TEST_P(MobilenetFusedLayer, ComputesOnlyTheGradientsAskedFor) {
  const auto layer = make_layer(GetParam());
  const Pass all = run(fused, *layer, GetParam(), torch::kFloat64, /*train=*/true);
  const Tensor plain = op_weights_of(GetParam()), x = input_of(GetParam());
  {  // alpha's alone, as in the arch step of a first layer
    for (Tensor& parameter : layer->parameters()) parameter.requires_grad_(false);
    const Tensor op_weights = plain.clone().requires_grad_();
    const Tensor out = layer->forward(x, op_weights);
    const auto gradient = torch::autograd::grad({out}, {op_weights}, {golden(out.sizes(), 1.0, 0.2)})[0];
    EXPECT_TRUE(gradient.equal(all.op_weights));
    for (Tensor& parameter : layer->parameters()) parameter.requires_grad_(true);
  }
  // The weights' alone.
  const Tensor out = layer->forward(x, plain);
  const auto gradients = torch::autograd::grad({out}, layer->parameters(), {golden(out.sizes(), 1.0, 0.2)});
  for (std::size_t i = 0; i < gradients.size(); ++i) EXPECT_TRUE(gradients[i].equal(all.weights[i])) << i;
}

TEST_P(MobilenetFusedLayer, GivesTheSameBitsEveryTimeAndInAnyMemoryFormat) {
  for (const auto dtype : {torch::kFloat32, torch::kFloat64}) {
    const auto first = make_layer(GetParam()), again = make_layer(GetParam());
    const Pass a = run(fused, *first, GetParam(), dtype, true);
    const Pass b = run(
        [](FusedLayer& layer, const Tensor& x, const Tensor& op_weights) {
          return layer.forward(x.contiguous(torch::MemoryFormat::ChannelsLast), op_weights);
        },
        *again, GetParam(), dtype, true);
    EXPECT_TRUE(a.out.equal(b.out));
    EXPECT_TRUE(a.x.equal(b.x));
    EXPECT_TRUE(a.op_weights.equal(b.op_weights));
    for (std::size_t i = 0; i < a.weights.size(); ++i) EXPECT_TRUE(a.weights[i].equal(b.weights[i])) << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Layers, MobilenetFusedLayer, ::testing::ValuesIn(cases()),
                         [](const auto& parameter) { return parameter.param.name; });

TEST(MobilenetFusedLayer, RefusesWhatItCannotCompute) {
  const Case c = cases()[0];
  const auto layer = make_layer(c);
  const Tensor op_weights = op_weights_of(c).requires_grad_();
  EXPECT_THROW(layer->forward(input_of(c)[0], op_weights), c10::Error);
  EXPECT_THROW(layer->forward(golden({1, 4, 1, 1}), op_weights), c10::Error);  // one value a channel
  const Tensor out = layer->forward(input_of(c), op_weights);
  EXPECT_THROW(torch::autograd::grad({out.sum()}, {op_weights}, {}, /*retain_graph=*/true, /*create_graph=*/true),
               c10::Error);
}

TEST(MobilenetNormClamp, AgreesWithBatchNormAndRelu6) {
  for (const bool train : {true, false}) {
    for (const bool clamped : {true, false}) {
      Norm norm(5), other(5);
      for (Norm* each : {&norm, &other}) {
        golden_fill(*each);
        each->train(train);
      }
      const Tensor x = golden({3, 5, 4, 7}, 9.0, 1.0).requires_grad_();  // both ends of ReLU6 are met
      const Tensor actual = norm_clamp(x * 3, norm, clamped ? mixed_op::relu6 : mixed_op::Clamp{});
      const Tensor expected = clamped ? other.relu6(x * 3) : other.forward(x * 3);
      EXPECT_LE(largest(actual - expected), 1e-12 * largest(expected));
      const Tensor g = golden(actual.sizes()).square();  // not linear in x: its gradient would vanish
      const auto found = torch::autograd::grad({actual}, {x, norm.weight(), norm.bias()}, {g});
      const auto right = torch::autograd::grad({expected}, {x, other.weight(), other.bias()}, {g});
      for (std::size_t i = 0; i < 3; ++i) EXPECT_LE(largest(found[i] - right[i]), 1e-11 * largest(right[i])) << i;
      expect_same_statistics(norm, other, 1e-12);
    }
  }
}

TEST(MobilenetNormClamp, GivesTheSameBitsForAnyNumberOfThreads) {
  const Tensor x = golden({8, 20, 32, 32}, 9.0, 1.0).to(torch::kFloat32).requires_grad_();  // several parts
  const int kept = at::get_num_threads();
  const auto run = [&](int threads) {
    at::set_num_threads(threads);
    Norm norm(20);
    const Tensor y = norm_clamp(x, norm, mixed_op::relu6);
    auto results = torch::autograd::grad({y}, {x, norm.weight(), norm.bias()}, {golden(y.sizes()).to(torch::kFloat32)});
    results.insert(results.end(), {y.detach(), norm.running_mean(), norm.running_var()});
    at::set_num_threads(kept);
    return results;
  };
  const auto one = run(1), two = run(2);
  for (std::size_t i = 0; i < one.size(); ++i) EXPECT_TRUE(one[i].equal(two[i])) << "result " << i;
}

const SupernetSpec small{
    .widths = {.stem = 4, .stages = {2, 3, 2, 3, 4, 2, 3}, .head = 5}, .classes = 10, .stem_stride = 1};

std::vector<Tensor> supernet_weights(at::ScalarType dtype) {
  std::vector<Tensor> weights;
  for (int layer = 0; layer < layer_count; ++layer) {
    weights.push_back(torch::zeros({1, columns_of(layer)}, torch::kFloat64));
    for (int i = 0; i < columns_of(layer); ++i) weights.back()[0][i] = u(static_cast<std::uint32_t>(100 * layer + i));
    weights.back() = weights.back().softmax(1).to(dtype).detach().requires_grad_();
  }
  return weights;
}

Pass run(Supernet& supernet, at::ScalarType dtype, bool train) {
  supernet.to(dtype);
  supernet.train(train);
  const auto op_weights = supernet_weights(dtype);
  const Tensor logits = supernet.forward(golden({4, 3, 24, 20}).to(dtype), op_weights);
  std::vector<Tensor> inputs = supernet.parameters();
  inputs.insert(inputs.end(), op_weights.begin(), op_weights.end());
  auto gradients = torch::autograd::grad({torch::cross_entropy_loss(logits, torch::arange(4, torch::kInt64))}, inputs);
  const auto own = static_cast<std::ptrdiff_t>(inputs.size() - op_weights.size());
  Pass pass{.out = logits.detach()};
  pass.op_weights = torch::cat(std::vector<Tensor>(gradients.begin() + own, gradients.end()), 1);
  gradients.resize(static_cast<std::size_t>(own));
  pass.weights = std::move(gradients);
  return pass;
}

TEST(MobilenetFusedSupernet, HasTheOraclesParametersAndBuffers) {
  const OracleSupernet expected(small);
  const FusedSupernet actual(small);
  expect_same_layout(actual, expected);
}

TEST(MobilenetFusedSupernet, AgreesWithTheOracle) {
  for (const auto& [dtype, relative] : {std::pair{torch::kFloat64, 1e-10}, {torch::kFloat32, 1e-4}}) {
    for (const bool train : {true, false}) {
      SCOPED_TRACE(std::string(c10::toString(dtype)) + (train ? " train" : " eval"));
      OracleSupernet expected(small);
      FusedSupernet actual(small);
      golden_fill(expected);
      golden_fill(actual);
      const Pass right = run(expected, dtype, train);
      expect_close(run(actual, dtype, train), right, relative);
      expect_same_statistics(actual, expected, relative);
      FusedSupernet composed(small);
      golden_fill(composed);
      composed.compose();
      expect_close(run(composed, dtype, train), right, relative);
      expect_same_statistics(composed, expected, relative);
    }
  }
}

// What rounding a layer's values to bfloat16 moves, the batch norms of the 21 layers behind it amplify where their
// statistics are those of a few images. So the yardstick in training mode is the oracle with its convolutions in
// bfloat16.
TEST(MobilenetFusedSupernet, LogitsInBfloat16AreAsAccurateAsAutocasts) {
  for (const bool train : {true, false}) {
    double ours = 0, autocasts = 0;
    for (std::int64_t number = 0; number < 16; ++number) {
      OracleSupernet oracle(small), cast(small);
      FusedSupernet fused(small, Precision::bf16);
      for (Supernet* supernet : std::initializer_list<Supernet*>{&oracle, &cast, &fused}) {
        golden_fill(*supernet);
        supernet->to(torch::kFloat32);
        supernet->train(train);
      }
      const torch::NoGradGuard no_grad;
      const auto op_weights = supernet_weights(torch::kFloat32);
      const Tensor images = golden({4 + number, 3, 24, 24 + 8 * (number % 2)}).to(torch::kFloat32);
      const Tensor expected = oracle.forward(images, op_weights), actual = fused.forward(images, op_weights);
      EXPECT_EQ(actual.scalar_type(), torch::kFloat32);
      const Tensor usual = [&] {
        const testing::Autocast autocast;
        return cast.forward(images, op_weights).to(torch::kFloat32);
      }();
      if (!train) {
        EXPECT_LE(largest(actual - expected), 3e-2 * largest(expected));
      }
      ours += ((actual - expected).norm() / expected.norm()).item<double>();
      autocasts += ((usual - expected).norm() / expected.norm()).item<double>();
    }
    RecordProperty(train ? "train" : "eval", std::to_string(ours / 16) + " of " + std::to_string(autocasts / 16));
    EXPECT_GT(autocasts, 0.0);
    EXPECT_LE(ours, 1.5 * autocasts) << train;
  }
}

/// What is left after a search has narrowed, of each layer.
std::vector<Tensor> narrowing_masks() {
  std::vector<Tensor> masks;
  for (int layer = 0; layer < layer_count; ++layer) {
    masks.push_back(torch::ones({1, columns_of(layer)}));
    for (int op = 0; op < conv_op_count; ++op) {
      if ((layer + op) % 3 == 0 || layer == 5) masks.back()[0][op] = 0;  // layer 5 is only its skip
    }
  }
  return masks;
}

// A candidate that is masked is not run: its statistics stay, and its weights have no gradient.
TEST(MobilenetFusedSupernet, MaskedOpsAreNotRun) {
  FusedSupernet fused(small);
  OracleSupernet oracle(small), unmasked(small);
  const auto masks = narrowing_masks();
  auto zeroed = supernet_weights(torch::kFloat64);
  for (std::size_t layer = 0; layer < zeroed.size(); ++layer) zeroed[layer] = zeroed[layer].detach() * masks[layer];
  const Tensor images = golden({4, 3, 24, 20});
  golden_fill(unmasked);
  const Tensor expected = unmasked.forward(images, zeroed);
  const auto run_masked = [&](auto& supernet) {
    golden_fill(supernet);
    supernet.set_masks(masks);
    auto inputs = supernet_weights(torch::kFloat64);
    const Tensor logits = supernet.forward(images, inputs);
    EXPECT_LE(largest(logits - expected), 1e-10 * largest(expected));
    const auto parameters = supernet.named_parameters();
    const auto loss = torch::cross_entropy_loss(logits, torch::arange(4, torch::kInt64));
    // Alpha's are all there, as an arch step asks for them.
    std::vector<Tensor> results = torch::autograd::grad({loss}, inputs, {}, /*retain_graph=*/true);
    for (std::size_t layer = 0; layer < masks.size(); ++layer) {
      EXPECT_TRUE(results[layer].masked_select(masks[layer] == 0).eq(0).all().template item<bool>()) << layer;
    }
    const auto gradients = torch::autograd::grad({loss}, parameters.values(), {}, false, false, /*allow_unused=*/true);
    const auto buffers = supernet.named_buffers();
    for (std::size_t i = 0; i < gradients.size(); ++i) {
      int layer = 0, op = 0;
      const bool candidate = std::sscanf(parameters[i].key().c_str(), "backbone.layer%d.op%d", &layer, &op) == 2;
      const bool left = !candidate || masks[static_cast<std::size_t>(layer)][0][op].template item<double>() != 0;
      EXPECT_EQ(gradients[i].defined(), left) << parameters[i].key();
      results.push_back(left ? gradients[i] : torch::zeros({1}, torch::kFloat64));
      const std::string name = parameters[i].key();
      if (const auto* mean = buffers.find(name.substr(0, name.rfind('.')) + ".running_mean")) {
        EXPECT_EQ(mean->ne(0).any().template item<bool>(), left) << name;
      }
    }
    return results;
  };
  const auto actual = run_masked(fused), right = run_masked(oracle);
  double scale = 0;
  for (const Tensor& each : right) scale = std::max(scale, largest(each));
  for (std::size_t i = 0; i < right.size(); ++i) EXPECT_LE(largest(actual[i] - right[i]), 1e-10 * scale) << i;
}

constexpr SkipDropout dropout{.rate = 0.3, .key = 7};

TEST(MobilenetFusedSupernet, DropsBehindSkipsAsTheOracle) {
  for (const bool masked : {false, true}) {
    OracleSupernet oracle(small);
    FusedSupernet fused(small);
    for (Supernet* each : std::initializer_list<Supernet*>{&oracle, &fused}) {
      golden_fill(*each);
      if (masked) each->set_masks(narrowing_masks());
    }
    const auto outcome = [&](Supernet& supernet, const SkipDropout& dropped) {
      supernet.set_skip_dropout(dropped);
      supernet.to(torch::kFloat64);
      const auto op_weights = supernet_weights(torch::kFloat64);
      const Tensor logits = supernet.forward(golden({4, 3, 24, 20}), op_weights);
      auto results = torch::autograd::grad({logits.square().sum()}, op_weights);
      results.push_back(logits.detach());
      return results;
    };
    const auto right = outcome(oracle, dropout), actual = outcome(fused, dropout);
    for (std::size_t i = 0; i < right.size(); ++i) {
      EXPECT_LE(largest(actual[i] - right[i]), 1e-10 * largest(right[i])) << i;
    }
    EXPECT_TRUE(outcome(fused, dropout).back().equal(actual.back())) << "one key, one choice";
    const Tensor whole = outcome(fused, {}).back();
    EXPECT_GT(largest(whole - actual.back()), 1e-3 * largest(whole));
    EXPECT_FALSE(outcome(fused, {.rate = 0.3, .key = 8}).back().equal(actual.back()));
  }
}

// What is dropped is the input, as far as the weight of `skip` goes; a layer that must be there drops nothing.
TEST(MobilenetFusedLayer, DropsAsMuchAsItsSkipWeighs) {
  Tensor op_weights = torch::full({1, 7}, 0.1, torch::kFloat64);
  op_weights[0][6] = 0.4;
  const Tensor x = golden({8, 4, 16, 16}, 2.0, 3.0);  // nowhere 0
  const auto layer_of = [&](int number) {
    auto layer = std::make_shared<FusedLayer>(SupernetSpec{}, number, LayerShape{4, 4, 1});
    golden_fill(*layer);
    return layer;
  };
  const auto layer = layer_of(1), other = layer_of(2);
  const Tensor whole = layer->forward(x, op_weights);
  const auto kept = [&](FusedLayer& from) {
    from.set_skip_dropout(dropout);
    return ((from.forward(x, op_weights) - whole) / (0.4 * x) + 1) * (1 - dropout.rate);  // 0 or 1
  };
  const Tensor first = kept(*layer);
  EXPECT_LE(largest(first * (first - 1)), 1e-9);
  EXPECT_NEAR(first.mean().item<double>(), 1 - dropout.rate, 0.02);
  EXPECT_GT(largest(first - kept(*other)), 0.5) << "layers draw for themselves";
  // Without the skip, nothing is.
  Tensor mask = torch::ones({1, 7});
  mask[0][6] = 0;
  layer->set_mask(mask);
  EXPECT_TRUE(layer->forward(x, op_weights).equal(whole));
  const auto stage = layer_of(4);
  const Tensor six = op_weights.narrow(1, 0, 6);
  const Tensor before = stage->forward(x, six);
  stage->set_skip_dropout(dropout);
  EXPECT_TRUE(stage->forward(x, six).equal(before));
}

TEST(MobilenetFusedSupernet, ShowsWhatTheOracleShows) {
  using Shown = std::map<std::pair<std::size_t, std::int64_t>, Tensor>;
  const auto shown_by = [](Supernet& supernet, at::ScalarType dtype) {
    golden_fill(supernet);
    supernet.to(dtype);
    supernet.set_masks(narrowing_masks());
    const torch::NoGradGuard no_grad;
    const Tensor images = golden({4, 3, 24, 20}).to(dtype);
    const auto weights = supernet_weights(dtype);
    set_statistics_updates(supernet, false);
    const Tensor before = supernet.forward(images, weights);
    Shown shown;
    supernet.set_output_observer([&](std::size_t matrix, std::int64_t row, std::int64_t column, const Tensor& y) {
      EXPECT_EQ(row, 0);
      EXPECT_EQ(y.scalar_type(), dtype);
      EXPECT_TRUE(shown.emplace(std::pair(matrix, column), y).second);
    });
    supernet.forward(images, weights);
    const std::size_t count = shown.size();
    supernet.set_output_observer({});
    EXPECT_TRUE(supernet.forward(images, weights).equal(before));
    EXPECT_EQ(shown.size(), count);
    return shown;
  };
  OracleSupernet oracle(small);
  FusedSupernet fused(small), in_bf16(small, Precision::bf16);
  const Shown right = shown_by(oracle, torch::kFloat64), actual = shown_by(fused, torch::kFloat64);
  std::size_t left = 0;
  for (const Tensor& mask : narrowing_masks()) left += static_cast<std::size_t>(mask.sum().item<double>());
  EXPECT_EQ(right.size(), left);
  ASSERT_EQ(actual.size(), left);
  EXPECT_TRUE(right.contains({5, 6})) << "a layer of which only its skip is left";
  for (const auto& [place, y] : right) EXPECT_LE(largest(actual.at(place) - y), 1e-10 * largest(y)) << place.first;
  EXPECT_EQ(shown_by(in_bf16, torch::kFloat32).size(), left);
}

TEST(MobilenetFusedSupernet, RefusesToMaskAllOfALayerThatMustBeThere) {
  FusedSupernet fused(small);
  auto masks = narrowing_masks();
  masks[4].zero_();
  try {
    fused.set_masks(masks);
    FAIL();
  } catch (const InputError& error) {
    EXPECT_STREQ(error.what(),
                 "MobileNet-like supernet, layer 4: found no op, expected at least one: this layer changes width or "
                 "resolution");
  }
}

TEST(MobilenetFusedSupernet, LetsNanThrough) {
  for (const Precision precision : {Precision::fp32, Precision::bf16}) {
    FusedSupernet supernet(small, precision);
    const torch::NoGradGuard no_grad;
    for (const auto& item : supernet.named_parameters()) {
      if (item.key().ends_with("layer7.op2.expand_conv.weight")) item.value().detach().fill_(NAN);
    }
    const Tensor logits =
        supernet.forward(golden({2, 3, 24, 24}).to(torch::kFloat32), supernet_weights(torch::kFloat32));
    EXPECT_TRUE(logits.isnan().all().item<bool>());
  }
}

}  // namespace
}  // namespace flowdarts::mobilenet
