// The op-by-op supernet, the stand-alone network and the space: gradients, reduced specs, noise, refusals.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <flowdarts/spaces/darts/candidate_cell.hpp>
#include <flowdarts/spaces/darts/fused_state.hpp>
#include <flowdarts/spaces/darts/network.hpp>
#include <flowdarts/spaces/darts/space.hpp>
#include <flowdarts/spaces/darts/supernet.hpp>
#include <flowdarts/spaces/initialise.hpp>
#include <flowdarts/spaces/support/error.hpp>
#include <functional>
#include <memory>
#include <string>

#include "../agreement.hpp"
#include "../mixed_op/layers.hpp"
#include "../nas_bench_201/golden_fill.hpp"

namespace flowdarts::darts {
namespace {

using testing::golden;
using testing::golden_fill;
using ::testing::HasSubstr;
using testing::largest;
using testing::Tensors;
using ::testing::ThrowsMessage;

const SupernetSpec small{.channels = 4, .cells = 3, .nodes = 2};

torch::Tensor images(std::int64_t size = 8) {
  return golden({3, 3, size, size});
}

std::vector<torch::Tensor> op_weights_of(const Supernet& supernet) {
  std::vector<torch::Tensor> weights;
  for (const ArchShape& shape : supernet.arch_shapes()) {
    const auto offset = static_cast<std::uint32_t>(1000 * weights.size());
    weights.push_back(competing_softmax(golden({shape.rows, shape.columns}, 0.5, 0.0, offset), shape).requires_grad_());
  }
  return weights;
}

torch::Tensor loss_of(const torch::Tensor& logits) {
  return torch::cross_entropy_loss(logits, torch::arange(logits.size(0), torch::kInt64));
}

TEST(Supernet, HasAMatrixForEachKindOfCellAndWithEdgeWeightsTwoMore) {
  const auto shapes = OracleSupernet({.channels = 4, .edge_weights = true}).arch_shapes();
  ASSERT_EQ(shapes.size(), 4U);
  EXPECT_EQ(shapes[1].rows, 14);
  EXPECT_EQ(shapes[1].columns, 8);
  EXPECT_TRUE(shapes[1].row_groups.empty());
  EXPECT_EQ(shapes[2].columns, 1);
  EXPECT_EQ(shapes[3].row_groups, (std::vector<std::int64_t>{2, 3, 4, 5}));
  EXPECT_EQ(OracleSupernet({.channels = 4, .with_none = false}).arch_shapes()[0].columns, 7);
}

TEST(CompetingSoftmax, SumsToOneOverEachGroupOfRows) {
  const ArchShape edges{14, 1, {2, 3, 4, 5}};
  const torch::Tensor weights = competing_softmax(golden({14, 1}), edges);
  std::int64_t first = 0;
  for (const std::int64_t size : edges.row_groups) {
    EXPECT_NEAR(weights.narrow(0, first, size).sum().item<double>(), 1.0, 1e-12);
    first += size;
  }
  EXPECT_NEAR(weights[0][0].item<double>() / weights[1][0].item<double>(), std::exp(testing::u(0) - testing::u(1)),
              1e-12);
  EXPECT_NEAR(largest(competing_softmax(golden({3, 8}), {3, 8, {}}).sum(1) - 1), 0.0, 1e-12);
}

TEST(ShuffleChannels, TakesOneChannelOfEachGroupInTurn) {
  const torch::Tensor x = torch::arange(6, torch::kDouble).view({1, 6, 1, 1});
  EXPECT_TRUE(shuffle_channels(x, 2).flatten().equal(torch::tensor({0.0, 3.0, 1.0, 4.0, 2.0, 5.0}, torch::kDouble)));
  EXPECT_TRUE(shuffle_channels(x, 3).flatten().equal(torch::tensor({0.0, 2.0, 4.0, 1.0, 3.0, 5.0}, torch::kDouble)));
}

TEST(FactorizedReduce, ReadsEverySecondPixelFromTheFirstAndFromTheSecondOn) {
  FactorizedReduce op(1, 2, {.norm = {.affine = false}});
  golden_fill(op);
  const torch::NoGradGuard no_grad;
  for (auto& parameter : op.parameters()) parameter.fill_(1.0);
  op.eval();
  const torch::Tensor x = torch::arange(16, torch::kDouble).view({1, 1, 4, 4}) - 3;
  const torch::Tensor y = op.forward(x) * std::sqrt(1 + BatchNormOptions().eps);
  EXPECT_LE(largest(y[0][0] - torch::tensor({0.0, 0.0, 5.0, 7.0}, torch::kDouble).view({2, 2})), 1e-12);
  EXPECT_LE(largest(y[0][1] - torch::tensor({2.0, 4.0, 10.0, 12.0}, torch::kDouble).view({2, 2})), 1e-12);
}

TEST(Supernet, GradientOfOpWeightsMatchesFiniteDifferences) {
  OracleSupernet supernet({.channels = 4, .cells = 3, .nodes = 1, .partial = 2, .edge_weights = true});
  golden_fill(supernet);
  supernet.set_statistics_updates(false);
  const auto weights = op_weights_of(supernet);
  const auto loss = [&] { return loss_of(supernet.forward(images(), weights)); };
  const auto gradients = torch::autograd::grad({loss()}, weights);
  const torch::NoGradGuard no_grad;
  for (std::size_t m = 0; m < weights.size(); ++m) {
    torch::Tensor flat = weights[m].detach().view({-1});
    for (std::int64_t i = 0; i < flat.numel(); ++i) {
      const double kept = flat[i].item<double>();
      flat[i] = kept + 1e-6;
      const double up = loss().item<double>();
      flat[i] = kept - 1e-6;
      const double down = loss().item<double>();
      flat[i] = kept;
      EXPECT_NEAR(gradients[m].flatten()[i].item<double>(), (up - down) / 2e-6, 1e-7) << "matrix " << m << ", " << i;
    }
  }
  EXPECT_EQ(largest(gradients[0].select(1, 0)), 0.0);  // of none
  EXPECT_GT(largest(gradients[2]), 1e-4);
}

TEST(Supernet, ReducedSpecEqualsTheFullOneWithZeroWeights) {
  SupernetSpec reduced = small;
  reduced.normal = reduced.reduce = all_ops(2);
  reduced.normal[0] = {true, false, true, false, true, false, false, true};
  reduced.normal[3] = {};
  reduced.reduce[1] = {false, false, false, true, false, true, true, false};
  OracleSupernet full(small), part(reduced);
  golden_fill(full);
  golden_fill(part);
  EXPECT_LT(parameter_count(part), parameter_count(full));
  const auto weights = op_weights_of(full);
  std::vector<torch::Tensor> masked;
  for (const OpMask* mask : {&reduced.normal, &reduced.reduce}) {
    torch::Tensor kept = torch::zeros({5, 8}, torch::kDouble);
    for (int e = 0; e < 5; ++e) {
      for (int op = 0; op < 8; ++op) kept[e][op] = (*mask)[e][op] ? 1.0 : 0.0;
    }
    masked.push_back(weights[masked.size()] * kept);
  }
  for (const bool train : {false, true}) {
    full.train(train);
    part.train(train);
    const auto expected = full.forward(images(), masked), actual = part.forward(images(), weights);
    EXPECT_LE(largest(actual - expected), 1e-12 * largest(expected));
  }
}

TEST(SkipConnect, DropsElementsInTrainingModeAlone) {
  SkipConnect skip;
  const torch::Tensor x = golden({4, 3, 16, 16}, 1.0, 3.0);
  EXPECT_TRUE(skip.forward(x).equal(x));
  skip.set_dropout({.rate = 0.25, .key = 3});
  const torch::Tensor y = skip.forward(x);
  const torch::Tensor kept = y.ne(0);
  EXPECT_LE(largest((y - x / 0.75).masked_select(kept)), 1e-6);
  EXPECT_NEAR(kept.to(torch::kDouble).mean().item<double>(), 0.75, 0.03);
  EXPECT_TRUE(skip.forward(x).equal(y));
  EXPECT_TRUE(skip.forward(x.contiguous(torch::MemoryFormat::ChannelsLast)).equal(y));
  skip.set_dropout({.rate = 0.25, .key = 4});
  EXPECT_FALSE(skip.forward(x).equal(y));
  skip.eval();
  EXPECT_TRUE(skip.forward(x).equal(x));
}

TEST(Supernet, SkipDropoutIsDrawnAnewForEachIdentityFromOneSeed) {
  OracleSupernet supernet(small);
  golden_fill(supernet);
  const auto weights = op_weights_of(supernet);
  const auto logits = [&](SkipDropout dropout) {
    supernet.set_skip_dropout(dropout);
    return supernet.forward(images(), weights);
  };
  const auto first = logits({.rate = 0.5, .key = 1});
  EXPECT_TRUE(logits({.rate = 0.5, .key = 1}).equal(first));
  EXPECT_FALSE(logits({.rate = 0.5, .key = 2}).equal(first));
  EXPECT_FALSE(logits({}).equal(first));
  supernet.set_skip_dropout({.rate = 0.5, .key = 1});
  std::vector<torch::Tensor> masks;
  supernet.apply([&](torch::nn::Module& module) {
    if (auto* skip = module.as<SkipConnect>()) masks.push_back(skip->mask(torch::ones({64})));
  });
  ASSERT_GT(masks.size(), 2U);
  EXPECT_FALSE(masks[0].equal(masks[1]));
}

// ---- The operator of the fused cell ----

/// A batch norm cancels biases in training mode: they are tested with running statistics.
struct Mode {
  std::int64_t stride;
  bool train;

  [[nodiscard]] std::shared_ptr<CandidateOp> make(std::size_t k) const {
    return make_op(static_cast<Op>(k), 2, stride, {.norm = {.affine = false}, .conv_bias = !train, .pool_norm = true});
  }
};

std::vector<torch::Tensor> read_with_all_ops(const Mode& mode, const Tensors& inputs) {
  auto plan = std::make_shared<StatePlan>();
  plan->stride = mode.stride;
  std::size_t parameter = 2;
  for (std::size_t edge = 0; edge < 2; ++edge, ++plan->edges) {
    for (std::size_t k = 1; k < candidate_count; ++k) {
      const auto op = mode.make(k);
      op->to(torch::kDouble);
      op->train(mode.train);
      // The parameters under test in the place of the op's own.
      op->apply([&](torch::nn::Module& layer) {
        for (auto& item : layer.named_parameters(/*recurse=*/false)) {
          if (auto* conv = layer.as<torch::nn::Conv2dImpl>()) {
            (item.key() == "weight" ? conv->weight : conv->bias) = inputs[parameter++];
          }
        }
      });
      plan->owned.push_back(op);
      const auto weight = static_cast<std::int64_t>(edge * 7 + k - 1);
      if (auto* pool = op->as<Pool>()) {
        (k == 1 ? plan->max_pools : plan->average_pools).push_back({edge, weight, pool->norm()});
      } else if (auto* skip = op->as<SkipConnect>()) {
        plan->skips.push_back({edge, weight, skip});
      } else if (auto* reduce = op->as<FactorizedReduce>()) {
        plan->reduces.push_back({edge, weight, reduce});
      } else if (auto* sep = op->as<SepConv>()) {
        plan->convs.push_back({edge, weight, &sep->first(), &sep->second()});
      } else {
        plan->convs.push_back({edge, weight, &op->as<DilConv>()->conv(), nullptr});
      }
    }
  }
  EXPECT_EQ(parameter, inputs.size());
  return read_state(plan, inputs[0], inputs[1]);
}

TEST(ReadState, GradientsMatchFiniteDifferences) {
  for (const Mode& mode : {Mode{1, true}, {1, false}, {2, true}, {2, false}}) {
    SCOPED_TRACE("stride " + std::to_string(mode.stride) + (mode.train ? ", train" : ", eval"));
    Tensors inputs{golden({2, 2, 6, 4}), golden({14}, 0.5, 0.2)};
    for (int edge = 0; edge < 2; ++edge) {
      for (std::size_t k = 1; k < candidate_count; ++k) {
        for (const auto& parameter : mode.make(k)->parameters()) {
          inputs.push_back(golden(parameter.sizes(), 0.7, 0.1, static_cast<std::uint32_t>(50 * inputs.size())));
        }
      }
    }
    const auto both = [mode](const Tensors& tensors) { return torch::cat(read_with_all_ops(mode, tensors), 1); };
    testing::expect_gradients_of_differences(both, inputs,
                                             golden({2, 4, 6 / mode.stride, 4 / mode.stride}, 1.0, 0.1, 7000));
  }
}

// ---- The stand-alone network ----

const std::string skips = "('skip_connect', 0), ('skip_connect', 1), ('skip_connect', 2), ('skip_connect', 2)";

TEST(DropSamples, DropsWholeSamplesAndScalesTheOthers) {
  const torch::Tensor x = golden({400, 2, 3, 3}, 1.0, 2.0);
  const DropPath drop_path{.probability = 0.2, .seed = 5};
  const torch::Tensor y = drop_samples(x, drop_path, 3);
  std::int64_t kept = 0;
  for (std::int64_t i = 0; i < 400; ++i) {
    const bool zero = y[i].eq(0).all().item<bool>();
    EXPECT_TRUE(zero || largest(y[i] - x[i] / 0.8) <= 1e-12) << "sample " << i;
    kept += zero ? 0 : 1;
  }
  EXPECT_NEAR(static_cast<double>(kept), 320, 30);
  EXPECT_TRUE(drop_samples(x, drop_path, 3).equal(y));
  EXPECT_FALSE(drop_samples(x, drop_path, 4).equal(y));
}

// Ops 0 and 1 of the reduction cells are factorised reductions, 2 and 3 identities; the normal cell has identities
// alone. Where the reductions happen to be kept, dropping changes nothing but the scale, which the next batch norm or
// the linear classifier passes on: identities are never dropped.
TEST(Network, DropsAllOpsButTheIdentity) {
  const Genotype genotype = parse_genotype("Genotype(normal=[" + skips + "], normal_concat=[2, 3], reduce=[" + skips +
                                           "], reduce_concat=[2, 3])");
  Network network(genotype, {.channels = 4, .cells = 3, .auxiliary = false});
  golden_fill(network);
  const torch::Tensor image = golden({1, 3, 16, 16}), bias = network.named_parameters()["backbone.classifier.bias"];
  const torch::Tensor plain = network.forward(image).logits - bias;
  const auto keeps = [&](const DropPath& drop_path, std::uint64_t op) {
    return drop_samples(torch::ones({1, 1, 1, 1}), drop_path, op).item<double>() > 0;
  };
  int tried = 0, dropped = 0;
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    const DropPath drop_path{.probability = 0.3, .seed = seed};
    const torch::Tensor logits = network.forward(image, drop_path).logits - bias;
    bool all = true, identities = true;
    for (std::uint64_t cell = 1; cell < 3; ++cell) {
      for (std::uint64_t op = 0; op < 2; ++op) all &= keeps(drop_path, 2 * max_nodes * cell + op);
      for (std::uint64_t op = 2; op < 4; ++op) identities &= keeps(drop_path, 2 * max_nodes * cell + op);
    }
    if (!all) {
      dropped += largest(logits * 0.7 - plain) > 0.05 * largest(plain) ? 1 : 0;
      continue;
    }
    EXPECT_LE(largest(logits * 0.7 - plain), 1e-3 * largest(plain)) << "seed " << seed;
    tried += identities ? 0 : 1;  // a draw that an identity would not survive
  }
  EXPECT_GT(tried, 2);
  EXPECT_GT(dropped, 10);
  network.eval();
  EXPECT_TRUE(network.forward(image, {.probability = 0.3, .seed = 1}).logits.equal(network.forward(image).logits));
}

TEST(Network, LeavesItsInputsUntouched) {
  Network network(Genotype{}, {.channels = 2, .cells = 3});
  golden_fill(network);
  const auto x = images(32);
  network.forward(x);
  EXPECT_TRUE(x.equal(images(32)));
}

TEST(Networks, RefuseBadInputInOneLine) {
  EXPECT_THAT([] { OracleSupernet({.channels = 0}); },
              ThrowsMessage<InputError>("DARTS network: channels: found 0, expected 1 to 4096"));
  EXPECT_THAT([] { Network(Genotype{}, {.cells = 0}); },
              ThrowsMessage<InputError>("DARTS network: cells: found 0, expected 1 to 100"));
  OracleSupernet supernet(small);
  golden_fill(supernet);
  EXPECT_THAT(
      [&] { supernet.forward(images(6), op_weights_of(supernet)); },
      ThrowsMessage<InputError>("DARTS network: found images of shape [3, 3, 6, 6], expected [batch, 3, height, "
                                "width] with height and width multiples of 4"));
  EXPECT_THAT(
      [&] {
        supernet.forward(images(), {golden({5, 8})});
      },
      ThrowsMessage<c10::Error>(HasSubstr("the DARTS supernet takes 2 matrices of op weights, found 1")));
  EXPECT_THAT(
      [&] {
        supernet.forward(images(), {golden({5, 8}), golden({5, 7})});
      },
      ThrowsMessage<c10::Error>(HasSubstr("matrix 1 of op weights: found [5, 7], expected [5, 8]")));
  Network network(Genotype{}, {.channels = 2, .cells = 3});
  golden_fill(network);
  EXPECT_THAT([&] { network.forward(images(16)); },
              ThrowsMessage<InputError>("DARTS network: the auxiliary classifier: found 4 x 4 pixels behind the second "
                                        "reduction cell, expected 8 x 8 (images of 32 x 32)"));
}

// ---- The space ----

TEST(Space, BuildsWhatItsOptionsSay) {
  Darts::Options options;
  options.channels = 4;
  options.cells = 3;
  options.nodes = 2;
  options.with_none = false;
  const Darts space(options);
  const auto fused = space.make_supernet(7, 8);
  EXPECT_NE(dynamic_cast<FusedSupernet*>(fused.get()), nullptr);
  const auto oracle = space.make_supernet(7, 8, {.mixed_op = MixedOpForm::oracle});
  EXPECT_NE(dynamic_cast<OracleSupernet*>(oracle.get()), nullptr);
  EXPECT_EQ(fused->arch_shapes()[1].rows, 5);
  EXPECT_EQ(fused->arch_shapes()[1].columns, 7);
  EXPECT_EQ(oracle->named_parameters()["backbone.classifier.bias"].size(0), 7);
  // What no option says comes with a spec of one's own.
  SupernetSpec spec = space.spec(7);
  spec.edge_weights = true;
  EXPECT_EQ(Darts::make_supernet(spec, 8)->arch_shapes().size(), 4U);

  EXPECT_THAT(
      [&] { static_cast<void>(space.make_supernet(7, 4)); },
      ThrowsMessage<InputError>("--image-size: found 4, expected a multiple of 4, at least 8: the supernet halves "
                                "the resolution twice"));
  EXPECT_THAT(
      [&] {
        static_cast<void>(space.make_supernet(7, 8, {MixedOpForm::oracle, Precision::bf16}));
      },
      ThrowsMessage<InputError>(HasSubstr("--precision")));
  options.stem = Stem::imagenet;
  EXPECT_THAT([&] { static_cast<void>(Darts(options).make_supernet(7, 32)); },
              ThrowsMessage<InputError>(HasSubstr("expected a multiple of 32, at least 64")));
  options.channels = 3;
  EXPECT_THAT([&] { Darts{options}; }, ThrowsMessage<InputError>(HasSubstr("expected an even number")));
}

TEST(Space, DerivesBothCells) {
  Darts::Options options;
  options.nodes = 1;
  options.with_none = false;
  const Darts space(options);
  const std::vector<double> first{0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2},
      second{1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0};
  const Genotype genotype = space.derive({first, second});
  EXPECT_EQ(genotype.normal.inputs, (std::vector<Input>{{Op::dil_conv_5x5, 1}, {Op::skip_connect, 0}}));
  EXPECT_EQ(genotype.reduce.inputs, (std::vector<Input>{{Op::avg_pool_3x3, 1}, {Op::max_pool_3x3, 0}}));
  EXPECT_EQ(space.derive({first, second, {0.9, 0.1}, {0.5, 0.5}}).normal.inputs[0], (Input{Op::skip_connect, 0}));
  EXPECT_EQ(Darts::from_text(Darts::to_text(genotype)), genotype);
  // What a search holds before its first epoch ends can be written and read.
  EXPECT_EQ(Darts::from_text(Darts::to_text(Darts::Genotype{})), Darts::Genotype{});
}

TEST(Space, OpsOfAllEdgesIntoANodeCompete) {
  Darts::Options options;
  options.nodes = 3;
  const auto groups = Darts(options).op_groups();
  ASSERT_EQ(groups.size(), 6U);
  const std::array<std::array<std::int64_t, 4>, 6> expected{
      {{0, 0, 2, 2}, {0, 2, 3, 2}, {0, 5, 4, 2}, {1, 0, 2, 2}, {1, 2, 3, 2}, {1, 5, 4, 2}}};
  for (std::size_t g = 0; g < groups.size(); ++g) {
    EXPECT_EQ(
        (std::array{static_cast<std::int64_t>(groups[g].matrix), groups[g].first_row, groups[g].rows, groups[g].keep}),
        expected[g]);
  }
  EXPECT_EQ(Darts(options).none_column(), 0);
  options.with_none = false;
  EXPECT_EQ(Darts(options).none_column(), -1);
}

// One node; skip and sep3 on both edges, and `none` on the second, stronger than all others.
TEST(Space, DerivesWithALimitOfSkipsInTheNormalCell) {
  for (const bool with_none : {true, false}) {
    Darts::Options options;
    options.nodes = 1;
    options.with_none = with_none;
    const Darts space(options);
    const std::size_t columns = with_none ? 8 : 7, skip = columns - 5, sep = columns - 4;
    std::vector<double> scores(2 * columns, -INFINITY);
    std::vector<bool> mask(2 * columns, false);
    const auto put = [&](std::size_t place, double score) {
      scores[place] = score;
      mask[place] = true;
    };
    put(skip, 0.7);
    put(sep, 0.3);
    put(columns + skip, 0.25);
    put(columns + sep, 0.2);
    if (with_none) put(columns, 0.55);
    const auto derived = [&](std::int64_t limit) {
      return space.derive_with_skip_limit({scores, scores}, {mask, mask}, limit);
    };
    constexpr Op s = Op::skip_connect, c = Op::sep_conv_3x3;
    EXPECT_EQ(derived(2).normal.inputs, (std::vector<Input>{{s, 0}, {s, 1}}));
    EXPECT_EQ(derived(1).normal.inputs, (std::vector<Input>{{s, 0}, {c, 1}}));
    EXPECT_EQ(derived(0).normal.inputs, (std::vector<Input>{{c, 0}, {c, 1}}));
    EXPECT_EQ(derived(0).reduce.inputs, (std::vector<Input>{{s, 0}, {s, 1}})) << "no limit there";
  }
}

TEST(Space, DerivesTwoOpsANodeWhateverTheirEdges) {
  Darts::Options options;
  options.nodes = 1;
  options.with_none = false;
  const Darts space(options);
  const std::vector<double> first{0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2},
      second{0, 0, 0, 0, 0, 0, 0, 3, 2, 1, 0, 0, 0, 0};
  const Genotype genotype = space.derive_by_group({first, second});
  EXPECT_EQ(genotype.normal.inputs, (std::vector<Input>{{Op::skip_connect, 0}, {Op::dil_conv_5x5, 1}}));
  EXPECT_EQ(genotype.reduce.inputs, (std::vector<Input>{{Op::max_pool_3x3, 1}, {Op::avg_pool_3x3, 1}}));
}

}  // namespace
}  // namespace flowdarts::darts
