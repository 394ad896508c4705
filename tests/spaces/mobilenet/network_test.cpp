// The op-by-op supernet and the stand-alone network: the numbers of a reference implementation, gradients, reduced
// specs, skips, statistics.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <flowdarts/spaces/initialise.hpp>
#include <flowdarts/spaces/mixed_op/oracle.hpp>
#include <flowdarts/spaces/mobilenet/count.hpp>
#include <flowdarts/spaces/mobilenet/network.hpp>
#include <flowdarts/spaces/mobilenet/space.hpp>
#include <flowdarts/spaces/mobilenet/supernet.hpp>
#include <flowdarts/spaces/support/error.hpp>
#include <fstream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "../nas_bench_201/golden_fill.hpp"

namespace flowdarts::mobilenet {
namespace {

using testing::golden;
using testing::golden_fill;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;
using testing::u;

const Widths narrow{.stem = 4, .stages = {2, 3, 2, 3, 4, 2, 3}, .head = 5};
const SupernetSpec small{.widths = narrow, .classes = 10, .stem_stride = 1};

/// Of layer l: softmax(0.5 u(100 l + i)).
std::vector<torch::Tensor> golden_weights() {
  std::vector<torch::Tensor> weights;
  for (int layer = 0; layer < layer_count; ++layer) {
    std::vector<double> alpha;
    for (int i = 0; i < columns_of(layer); ++i) alpha.push_back(0.5 * u(static_cast<std::uint32_t>(100 * layer + i)));
    weights.push_back(torch::tensor(alpha, torch::kFloat64).softmax(0).unsqueeze(0));
  }
  return weights;
}

std::vector<torch::Tensor> trainable(std::vector<torch::Tensor> weights) {
  for (torch::Tensor& own : weights) own = own.detach().clone().requires_grad_();
  return weights;
}

/// 1 for the op of the genotype.
std::vector<torch::Tensor> one_hot(const Genotype& genotype) {
  std::vector<torch::Tensor> weights;
  for (int layer = 0; layer < layer_count; ++layer) {
    weights.push_back(torch::zeros({1, columns_of(layer)}, torch::kFloat64));
    weights.back()[0][static_cast<std::int64_t>(genotype.ops[static_cast<std::size_t>(layer)])] = 1.0;
  }
  return weights;
}

torch::Tensor images() {
  return golden({3, 3, 20, 24});
}

torch::Tensor loss_of(const torch::Tensor& logits) {
  return torch::cross_entropy_loss(logits, torch::arange(logits.size(0), torch::kInt64));
}

std::shared_ptr<OracleSupernet> filled(const SupernetSpec& spec) {
  auto supernet = std::make_shared<OracleSupernet>(spec);
  golden_fill(*supernet);
  return supernet;
}

/// Relative to the largest element.
void expect_close(const torch::Tensor& actual, const torch::Tensor& expected, double relative) {
  ASSERT_EQ(actual.sizes(), expected.sizes());
  EXPECT_LE((actual - expected).abs().max().item<double>(), relative * expected.abs().max().item<double>());
}

const std::string mixed =
    "k3e3,k3e6,skip,k5e6,k7e3,k7e6,skip,k3e3,k3e6,skip,skip,skip,k7e3,k7e6,skip,k3e3,k3e6,k5e3,k5e6,k7e3,k7e6";

void expect_golden(const torch::Tensor& logits, const nlohmann::json& expected) {
  // Of the supernet only three logits are published, to nine decimals.
  const auto sample0 = expected.at("sample0").get<std::vector<double>>();
  const bool complete = sample0.size() == 10;
  for (std::size_t c = 0; c < sample0.size(); ++c) {
    const double tolerance = complete ? 1e-9 * std::abs(sample0[c]) : 6e-10;
    EXPECT_NEAR(logits[0][static_cast<std::int64_t>(c)].item<double>(), sample0[c], tolerance) << "logit " << c;
  }
  if (!complete) return;
  const double sum = expected.at("sum"), abs_sum = expected.at("abs_sum");
  EXPECT_NEAR(logits.sum().item<double>(), sum, 1e-9 * abs_sum);
  EXPECT_NEAR(logits.abs().sum().item<double>(), abs_sum, 1e-9 * abs_sum);
}

TEST(MobilenetGoldenForward, EveryLogitMatchesTheReference) {
  std::ifstream file(FLOWDARTS_SOURCE_DIR "/tests/spaces/mobilenet/golden_forward.json");
  const auto entries = nlohmann::json::parse(file);
  ASSERT_EQ(entries.size(), 2U);
  for (const auto& entry : entries) {
    SCOPED_TRACE(entry.at("name").get<std::string>());
    const Widths widths = parse_widths(entry.at("widths").get<std::string>());
    const std::int64_t classes = entry.at("classes");
    const bool search = entry.at("genotype").is_null();
    std::shared_ptr<torch::nn::Module> network;
    if (search) {
      network = std::make_shared<OracleSupernet>(SupernetSpec{.widths = widths, .classes = classes});
    } else {
      network = std::make_shared<Network>(parse_genotype(entry.at("genotype").get<std::string>()), classes, widths);
    }
    EXPECT_EQ(parameter_count(*network), entry.at("params").get<std::int64_t>());
    golden_fill(*network);
    const torch::Tensor input = golden(entry.at("input").get<std::vector<std::int64_t>>());
    const auto logits = [&] {
      return search ? network->as<OracleSupernet>()->forward(input, golden_weights())
                    : network->as<Network>()->forward(input);
    };
    const torch::NoGradGuard no_grad;
    // Evaluation mode comes first: it needs fresh running statistics.
    network->eval();
    expect_golden(logits(), entry.at("eval_mode"));
    network->train();
    expect_golden(logits(), entry.at("train_mode"));
  }
}

TEST(MobilenetNetwork, HasAsManyParametersAsCounted) {
  for (const std::string& text : {mixed, to_string(Genotype{})}) {
    const Genotype genotype = parse_genotype(text);
    EXPECT_EQ(parameter_count(Network(genotype, 7, narrow)),
              count_network(genotype, {.widths = narrow, .classes = 7}).params);
  }
  EXPECT_EQ(parameter_count(OracleSupernet(small)), count_supernet({.widths = narrow, .classes = 10}).params);
}

TEST(MobilenetSupernet, HasARowOfOpWeightsForEachLayer) {
  const auto shapes = OracleSupernet(small).arch_shapes();
  ASSERT_EQ(shapes.size(), 21U);
  for (std::size_t layer = 0; layer < shapes.size(); ++layer) {
    EXPECT_EQ(shapes[layer].rows, 1);
    EXPECT_EQ(shapes[layer].columns, layer % 4 == 0 ? 6 : 7);
  }
}

// A weight of 1 for one op, skips among them, is the network of that architecture. golden_fill gives a parameter of the
// same shape the same values in both.
TEST(MobilenetSupernet, OneHotWeightsGiveTheStandAloneNetwork) {
  const Genotype genotype = parse_genotype(mixed);
  const auto supernet = filled(small);
  Network network(genotype, 10, narrow, /*stem_stride=*/1);
  golden_fill(network);
  for (const bool training : {false, true}) {
    supernet->train(training);
    network.train(training);
    expect_close(supernet->forward(images(), one_hot(genotype)), network.forward(images()), 1e-13);
  }
}

TEST(MobilenetSupernet, GradientOfOpWeightsMatchesFiniteDifferences) {
  const auto supernet = filled(small);
  supernet->set_statistics_updates(false);
  const auto weights = trainable(golden_weights());
  const auto gradients = torch::autograd::grad({loss_of(supernet->forward(images(), weights))}, weights);
  const torch::NoGradGuard no_grad;
  // All layers and ops at once, along three directions.
  for (const std::uint32_t seed : {1U, 2U, 3U}) {
    std::vector<torch::Tensor> direction;
    double expected = 0;
    for (std::size_t layer = 0; layer < weights.size(); ++layer) {
      const auto first = static_cast<std::uint32_t>(10000 * seed + 100 * layer);
      direction.push_back(torch::zeros_like(weights[layer]));
      for (std::uint32_t i = 0; i < weights[layer].numel(); ++i) direction.back()[0][i] = u(first + i);
      expected += (direction.back() * gradients[layer]).sum().item<double>();
    }
    const auto loss_at = [&](double step) {
      std::vector<torch::Tensor> moved;
      for (std::size_t i = 0; i < weights.size(); ++i) moved.push_back(weights[i] + step * direction[i]);
      return loss_of(supernet->forward(images(), moved)).item<double>();
    };
    constexpr double step = 1e-6;
    EXPECT_NEAR((loss_at(step) - loss_at(-step)) / (2 * step), expected, 1e-6 * std::abs(expected));
  }
}

TEST(MobilenetSupernet, GradientOfSkipIsZeroAndNothingElseIs) {
  const auto supernet = filled(small);
  const auto weights = trainable(golden_weights());
  const auto gradients = torch::autograd::grad({loss_of(supernet->forward(images(), weights))}, weights);
  for (std::size_t layer = 0; layer < gradients.size(); ++layer) {
    const auto row = gradients[layer][0];
    EXPECT_TRUE(row.slice(0, 0, conv_op_count).ne(0).all().item<bool>()) << "layer " << layer;
    EXPECT_TRUE(row.slice(0, conv_op_count).eq(0).all().item<bool>()) << "layer " << layer;
  }
}

TEST(MobilenetSupernet, ReducedSpecEqualsTheFullOneWithZeroWeights) {
  SupernetSpec reduced = small;
  reduced.present[0] = {false, true, false, false, true, true};
  reduced.present[3] = {};  // only its skip
  reduced.present[20] = {true, false, false, false, false, false};
  const auto full = filled(small), part = filled(reduced);
  EXPECT_LT(parameter_count(*part), parameter_count(*full));
  const auto weights = golden_weights();
  auto masked = golden_weights();
  for (std::size_t layer = 0; layer < masked.size(); ++layer) {
    for (std::size_t op = 0; op < conv_op_count; ++op) {
      if (!reduced.present[layer][op]) masked[layer][0][static_cast<std::int64_t>(op)] = 0;
    }
  }
  for (const bool training : {false, true}) {
    full->train(training);
    part->train(training);
    expect_close(part->forward(images(), weights), full->forward(images(), masked), 1e-13);
  }
}

// What is shown of a layer are its candidates as reading A has them: weighted by numbers that sum to 1, they are the
// layer's output.
TEST(MobilenetSupernet, ShowsWholeCandidates) {
  const auto supernet = filled(small);
  const auto weights = golden_weights();
  auto masks = golden_weights();
  for (torch::Tensor& mask : masks) mask.fill_(1);
  masks[2][0][3] = 0;
  masks[6][0][6] = 0;
  supernet->set_masks(masks);
  std::map<std::size_t, std::map<std::int64_t, torch::Tensor>> shown;
  supernet->set_output_observer([&](std::size_t matrix, std::int64_t row, std::int64_t column, const torch::Tensor& y) {
    EXPECT_EQ(row, 0);
    EXPECT_TRUE(shown[matrix].emplace(column, y).second);
  });
  supernet->forward(images(), weights);
  supernet->set_output_observer({});
  supernet->forward(images(), weights);
  ASSERT_EQ(shown.size(), 21U);
  for (std::size_t layer = 0; layer < 20; ++layer) {
    std::size_t expected = static_cast<std::size_t>(columns_of(static_cast<int>(layer)));
    if (layer == 2 || layer == 6) --expected;
    EXPECT_EQ(shown[layer].size(), expected) << layer;
    // The input of the next layer, where that may be skipped.
    if (layer == 2 || layer == 6 || (layer + 1) % 4 == 0 || layer + 1 == 6) continue;
    torch::Tensor sum;
    for (const auto& [column, y] : shown[layer]) add_term(sum, y * weights[layer][0][column]);
    expect_close(shown[layer + 1].at(6), sum, 1e-13);
  }
}

TEST(MobilenetSupernet, FrozenStatisticsStayBitIdenticalAndChangeNoLogit) {
  const auto frozen = filled(small), moving = filled(small);
  frozen->set_statistics_updates(false);
  const auto before = filled(small)->named_buffers();
  ASSERT_GT(before.size(), 700U);  // mean and variance of three norms in each of 126 candidates
  EXPECT_TRUE(frozen->forward(images(), golden_weights()).equal(moving->forward(images(), golden_weights())));
  const auto moved = moving->named_buffers();
  for (const auto& item : frozen->named_buffers()) {
    EXPECT_TRUE(item.value().equal(before[item.key()])) << item.key();
    EXPECT_FALSE(item.value().equal(moved[item.key()])) << item.key();
  }
}

TEST(MobilenetSupernet, RefusesBadInputInOneLine) {
  EXPECT_THAT([] { OracleSupernet({.widths = {.stem = 0}}); },
              ThrowsMessage<InputError>("MobileNet-like network: found 0 channels of the stem, expected at least 1"));
  EXPECT_THAT([] { OracleSupernet({.widths = narrow, .classes = 0}); },
              ThrowsMessage<InputError>(HasSubstr("found 0 classes")));
  EXPECT_THAT([] { OracleSupernet({.widths = narrow, .stem_stride = 4}); },
              ThrowsMessage<InputError>("MobileNet-like network: found a stem of stride 4, expected 1 or 2"));
  EXPECT_THAT(
      [] {
        SupernetSpec spec = small;
        spec.present[4] = {};
        OracleSupernet supernet(spec);
      },
      ThrowsMessage<InputError>("MobileNet-like supernet, layer 4: found no op, expected at least one: this layer "
                                "changes width or resolution"));
  EXPECT_THAT(
      [] {
        Genotype genotype;
        genotype.ops[8] = Op::skip;
        Network(genotype, 10, narrow);
      },
      ThrowsMessage<InputError>(HasSubstr("layer 8: found skip, expected an MBConv")));
  EXPECT_THAT(
      [] {
        filled(small)->forward(golden({3, 1, 8, 8}), golden_weights());
      },
      ThrowsMessage<InputError>(HasSubstr("found images of shape [3, 1, 8, 8]")));
  EXPECT_THROW(filled(small)->forward(images(), {}), c10::Error);
}

// Equal widths on both sides of a stage of stride 1 give its first layer a shortcut, as any MBConv that keeps its
// shape.
TEST(MobilenetSupernet, ALayerThatKeepsItsShapeHasAShortcut) {
  SupernetSpec spec = small;
  spec.widths.stages[4] = spec.widths.stages[3];
  const auto full = filled(spec);
  spec.present[12] = {};
  const auto part = filled(spec);
  auto masked = golden_weights();
  masked[12].zero_();
  const torch::Tensor logits = part->forward(images(), golden_weights());
  expect_close(logits, full->forward(images(), masked), 1e-13);
  // Images are told apart behind it.
  EXPECT_GT((logits[0] - logits[1]).abs().max().item<double>(), 1e-3);
}

TEST(MobilenetSupernet, IsInitialisedAsProxylessNass) {
  OracleSupernet supernet({.classes = 10});
  initialise(supernet, 5);
  const auto named = supernet.named_parameters();
  const auto expect_normal = [&](const std::string& name, double variance, double tolerance) {
    const auto values = named[name].to(torch::kFloat64);
    EXPECT_NEAR(values.square().mean().item<double>() / variance, 1.0, tolerance) << name;
    EXPECT_NEAR(values.mean().item<double>() / std::sqrt(variance), 0.0, tolerance) << name;
    // Of a normal distribution, but for rounding, 4.55 % lie beyond twice its deviation; of a uniform one none do.
    EXPECT_NEAR(values.square().gt(4 * variance).to(torch::kFloat64).mean().item<double>(), 0.0455, 0.02) << name;
  };
  expect_normal("backbone.stem_conv.weight", 2.0 / (9 * 32), 0.15);
  expect_normal("backbone.layer17.op5.expand_conv.weight", 2.0 / 1152, 0.03);
  expect_normal("backbone.layer17.op5.depthwise_conv.weight", 2.0 / (49 * 1152), 0.03);
  expect_normal("backbone.head_conv.weight", 2.0 / 1280, 0.03);
  EXPECT_TRUE(named["backbone.classifier.bias"].eq(0).all().item<bool>());
  const auto classifier = named["backbone.classifier.weight"].to(torch::kFloat64);
  EXPECT_LT(classifier.abs().max().item<double>(), 1 / std::sqrt(1280));
  EXPECT_NEAR(classifier.square().mean().item<double>() * 3 * 1280, 1.0, 0.05);
  EXPECT_TRUE(named["backbone.layer0.op0.expand_norm.weight"].eq(1).all().item<bool>());
}

Mobilenet space_of(const std::string& widths, std::int64_t stem_stride) {
  Mobilenet::Options options;
  options.widths = widths;
  options.stem_stride = stem_stride;
  return Mobilenet(options);
}

TEST(MobilenetSpace, BuildsBothFormsOfItsSupernet) {
  const Mobilenet space = space_of(to_string(narrow), 1);
  for (const MixedOpForm form : {MixedOpForm::fused, MixedOpForm::oracle}) {
    const auto supernet = space.make_supernet(7, 32, {.mixed_op = form});
    EXPECT_EQ(supernet->arch_shapes().size(), 21U);
    EXPECT_EQ(parameter_count(*supernet), count_supernet({.widths = narrow, .classes = 7}).params);
    const bool fused = dynamic_cast<FusedSupernet*>(supernet.get()) != nullptr;
    EXPECT_EQ(fused, form == MixedOpForm::fused);
  }
  EXPECT_EQ(parameter_count(*Mobilenet(Mobilenet::Options()).make_supernet(1000, 224)), 16158680);
}

TEST(MobilenetSpace, NeedsTwoChannelsWhereSpreadOverThemIsMeasured) {
  space_of("1,1,2,2,2,2,2,2,1", 1).check_channels();
  EXPECT_THAT([] { space_of("2,2,2,2,2,1,2,2,2", 1).check_channels(); },
              ThrowsMessage<InputError>("--widths: found 2,2,2,2,2,1,2,2,2, expected at least 2 in stages 1 to 6: "
                                        "channel variance needs at least two channels"));
}

TEST(MobilenetSpace, HasAGroupOfOpsForEachMatrix) {
  static_assert(op_names[Mobilenet::none_column()] == "skip");
  const auto groups = Mobilenet::op_groups();
  const auto shapes = space_of(to_string(narrow), 1).make_supernet(10, 32)->arch_shapes();
  ASSERT_EQ(groups.size(), shapes.size());
  for (std::size_t i = 0; i < groups.size(); ++i) {
    EXPECT_EQ(groups[i].matrix, i);
    EXPECT_EQ(groups[i].rows, shapes[i].rows);
    EXPECT_EQ(groups[i].keep, 1);
  }
}

TEST(MobilenetSpace, RefusesWhatItCannotSearchWith) {
  EXPECT_THAT([] { space_of("32,16", 2); }, ThrowsMessage<InputError>(HasSubstr("--widths: widths, number 3 of 9")));
  EXPECT_THAT([] { space_of(to_string(narrow), 2).check_image_size(32); },
              ThrowsMessage<InputError>("--image-size: found 32, expected at least 33: the supernet halves the "
                                        "resolution 5 times (--stem-stride 2)"));
  EXPECT_THAT([] { static_cast<void>(space_of(to_string(narrow), 1).make_supernet(10, 16)); },
              ThrowsMessage<InputError>("--image-size: found 16, expected at least 17: the supernet halves the "
                                        "resolution 4 times (--stem-stride 1)"));
  EXPECT_THAT(
      [] {
        static_cast<void>(space_of(to_string(narrow), 1)
                              .make_supernet(10, 32, {.mixed_op = MixedOpForm::oracle, .precision = Precision::bf16}));
      },
      ThrowsMessage<InputError>(HasSubstr("--precision: found bf16 with --mixed-op oracle")));
  for (const std::int64_t stride : {1, 2}) {  // the smallest images leave more than one pixel
    const int smallest = stride == 2 ? 33 : 17;
    space_of(to_string(narrow), stride).check_image_size(smallest);
    EXPECT_EQ(last_side(smallest, static_cast<int>(stride)), 2);
    EXPECT_EQ(last_side(smallest - 1, static_cast<int>(stride)), 1);
  }
}

}  // namespace
}  // namespace flowdarts::mobilenet
