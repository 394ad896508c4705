// What looks at single candidates of a supernet, or takes them out: masks, dropout of skips, shown outputs.

#include <gtest/gtest.h>

#include <flowdarts/spaces/initialise.hpp>
#include <flowdarts/spaces/nas_bench_201/candidate_cell.hpp>
#include <flowdarts/spaces/nas_bench_201/space.hpp>
#include <flowdarts/spaces/nas_bench_201/supernet.hpp>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace flowdarts::nas_bench_201 {
namespace {

struct Net {
  explicit Net(SupernetSpec spec = {.channels = 2, .cells = 2}) : supernet(spec) {
    initialise(supernet, 1);
    torch::manual_seed(1);
    images = torch::randn({3, 3, 8, 8});
    weights = torch::softmax(torch::randn({6, 5}), 1);
  }
  torch::Tensor logits() { return supernet.forward(images, {weights}); }

  OracleSupernet supernet;
  torch::Tensor images, weights;
};

TEST(Candidates, AMaskLeavesOpsOutAndTheirWeightsAlone) {
  Net net;
  torch::Tensor mask = torch::ones({6, 5});
  mask[0][3] = mask[2][2] = mask[5][1] = 0.0;
  net.weights = net.weights * mask;
  const torch::Tensor zero_weights = net.logits();
  net.supernet.set_masks({mask});
  EXPECT_TRUE(torch::allclose(net.logits(), zero_weights, 1e-6, 1e-7));
  const auto parameters = net.supernet.parameters();
  const auto gradients = torch::autograd::grad({net.logits().sum()}, parameters, {}, false, false, true);
  std::set<std::string> untouched;
  std::size_t i = 0;
  for (const auto& parameter : net.supernet.named_parameters()) {
    if (!gradients[i++].defined()) untouched.insert(parameter.key());
  }
  EXPECT_EQ(untouched.size(), 6 * 2U) << "two convolutions in each of six cells";
  for (const std::string& name : untouched) {
    EXPECT_TRUE(name.find("edge0.op3.conv") != std::string::npos || name.find("edge2.op2.conv") != std::string::npos)
        << name;
  }
}

TEST(Candidates, ShowsEveryOpOfEveryCellBeforeItsWeight) {
  Net net;
  std::map<std::pair<std::int64_t, std::int64_t>, int> seen;
  torch::Tensor first;
  net.supernet.set_output_observer([&](std::size_t matrix, std::int64_t row, std::int64_t column, const auto& output) {
    EXPECT_EQ(matrix, 0U);
    EXPECT_EQ(output.size(0), 3);
    ++seen[{row, column}];
    if (!first.defined() && column == column::skip_connect) first = output.clone();
  });
  const torch::Tensor shown = net.logits();
  net.weights = net.weights * 2.0;
  torch::Tensor doubled;
  std::swap(first, doubled);
  net.logits();
  EXPECT_TRUE(torch::equal(first, doubled)) << "the first cell's input does not hang on op weights";
  EXPECT_EQ(seen.size(), 24U) << "`none` has no output";
  for (const auto& [place, times] : seen) {
    EXPECT_NE(place.second, column::none);
    EXPECT_EQ(times, 2 * 6);
  }
  net.supernet.set_output_observer({});
  net.weights = net.weights / 2.0;
  EXPECT_TRUE(torch::equal(net.logits(), shown));
  EXPECT_EQ((seen.begin()->second), 12);
}

TEST(Candidates, DropoutBehindSkipsIsThatOfItsKey) {
  Net net;
  const torch::Tensor plain = net.logits();
  const auto with = [&](double rate, std::uint64_t key) {
    net.supernet.set_skip_dropout({.rate = rate, .key = key});
    return net.logits();
  };
  const torch::Tensor dropped = with(0.3, 7);
  EXPECT_FALSE(torch::allclose(dropped, plain, 1e-3, 1e-3));
  EXPECT_TRUE(torch::equal(with(0.3, 7), dropped));
  EXPECT_FALSE(torch::equal(with(0.3, 8), dropped));
  EXPECT_TRUE(torch::equal(with(0.0, 7), plain));
  // Without skips there is nothing to drop.
  net.weights = net.weights.clone();
  net.weights.select(1, column::skip_connect).zero_();
  EXPECT_TRUE(torch::equal(with(0.0, 7), with(0.3, 7)));
}

TEST(Candidates, DropoutKeepsTheMeanAndLaysDownItsRate) {
  const torch::Tensor x = torch::ones({8, 16, 16, 16});
  const SkipDropout dropout{.rate = 0.2, .key = 3};
  const torch::Tensor y = drop_skip(x, dropout, 0, 1);
  EXPECT_NEAR(y.eq(0).to(torch::kDouble).mean().item<double>(), 0.2, 0.01);
  EXPECT_TRUE(torch::logical_or(y.eq(0), y.eq(1.25F)).all().item<bool>());
  // By place, whatever the memory format.
  EXPECT_FALSE(torch::equal(drop_skip(x, dropout, 1, 1), y));
  EXPECT_FALSE(torch::equal(drop_skip(x, dropout, 0, 2), y));
  EXPECT_TRUE(torch::equal(drop_skip(x.contiguous(torch::MemoryFormat::ChannelsLast), dropout, 0, 1), y));
  // The gradient goes where the values went.
  const torch::Tensor leaf = x.clone().requires_grad_();
  EXPECT_TRUE(torch::equal(torch::autograd::grad({drop_skip(leaf, dropout, 0, 1).sum()}, {leaf})[0], y));
}

// The fused supernet has the oracle's masks, dropout and shown outputs.
TEST(Candidates, OfTheFusedSupernetAreTheOracles) {
  Net net;
  FusedSupernet fused({.channels = 2, .cells = 2});
  initialise(fused, 1);
  const auto both = [&](const auto& change) {
    change(net.supernet);
    change(fused);
    const torch::Tensor expected = net.logits();
    const torch::Tensor found = fused.forward(net.images, {net.weights});
    EXPECT_TRUE(torch::allclose(found, expected, 1e-4, 1e-5)) << found - expected;
    return expected;
  };
  const torch::Tensor plain = both([](Supernet&) {});
  const torch::Tensor dropped = both([](Supernet& net_) { net_.set_skip_dropout({.rate = 0.4, .key = 9}); });
  EXPECT_FALSE(torch::allclose(plain, dropped, 1e-2, 1e-2));
  int shown = 0;
  both([&](Supernet& net_) {
    net_.set_skip_dropout({});
    net_.set_output_observer([&](std::size_t, std::int64_t, std::int64_t, const torch::Tensor&) { ++shown; });
  });
  EXPECT_EQ(shown, 2 * 24 * 6);
  torch::Tensor mask = torch::ones({6, 5});
  mask[0][3] = mask[5][1] = 0.0;
  net.weights = net.weights * mask;
  both([&](Supernet& net_) { net_.set_masks({mask}); });
  both([](Supernet& net_) { net_.set_output_observer({}); });
}

TEST(Candidates, TheFusedSupernetShowsWhatTheOracleShows) {
  for (const bool train : {true, false}) {
    SCOPED_TRACE(train ? "train" : "eval");
    Net net({.channels = 4, .cells = 2});
    FusedSupernet fused({.channels = 4, .cells = 2});
    initialise(fused, 1);
    using Place = std::tuple<std::int64_t, std::int64_t>;
    const auto shown_by = [&](Supernet& supernet) {
      supernet.to(torch::kDouble);
      supernet.train(train);
      std::vector<std::pair<Place, torch::Tensor>> shown;
      supernet.set_output_observer([&](std::size_t, std::int64_t row, std::int64_t column, const torch::Tensor& y) {
        shown.emplace_back(Place{row, column}, y.clone());
      });
      const torch::NoGradGuard no_grad;
      supernet.forward(net.images.to(torch::kDouble), {net.weights.to(torch::kDouble)});
      return shown;
    };
    const auto expected = shown_by(net.supernet);
    const auto found = shown_by(fused);
    ASSERT_EQ(found.size(), expected.size());
    for (std::size_t i = 0; i < found.size(); ++i) {
      EXPECT_EQ(found[i].first, expected[i].first);
      EXPECT_TRUE(torch::allclose(found[i].second, expected[i].second, 1e-9, 1e-9)) << i;
    }
  }
}

TEST(Candidates, TheFusedSupernetDropsOutAsTheOracleAlsoBackwards) {
  Net net({.channels = 4, .cells = 2});
  FusedSupernet fused({.channels = 4, .cells = 2});
  initialise(fused, 1);
  const auto gradients_of = [&](Supernet& supernet) {
    supernet.to(torch::kDouble);
    supernet.set_skip_dropout({.rate = 0.4, .key = 5});
    const torch::Tensor weights = net.weights.to(torch::kDouble).detach().requires_grad_();
    std::vector<torch::Tensor> inputs = supernet.parameters();
    inputs.push_back(weights);
    const torch::Tensor logits = supernet.forward(net.images.to(torch::kDouble), {weights});
    return torch::autograd::grad({logits.square().sum()}, inputs);
  };
  const auto expected = gradients_of(net.supernet);
  const auto found = gradients_of(fused);
  for (std::size_t i = 0; i < found.size(); ++i) {
    EXPECT_LE((found[i] - expected[i]).abs().max().item<double>(), 1e-10 * (1 + expected[i].abs().max().item<double>()))
        << i;
  }
}

TEST(Candidates, WhatAMaskTookOutOfTheFusedSupernetIsNotRun) {
  FusedSupernet fused({.channels = 2, .cells = 1});
  initialise(fused, 1);
  torch::Tensor mask = torch::ones({6, 5});
  mask[0][column::nor_conv_3x3] = mask[0][column::nor_conv_1x1] = 0.0;
  fused.set_masks({mask});
  const auto buffers_of = [&] {
    std::map<std::string, torch::Tensor> all;
    for (const auto& item : fused.named_buffers()) all[item.key()] = item.value().clone();
    return all;
  };
  const auto before = buffers_of();
  const torch::Tensor logits = fused.forward(torch::randn({2, 3, 8, 8}), {torch::full({6, 5}, 0.2) * mask});
  for (const auto& [key, value] : buffers_of()) {
    if (key.find("running_mean") == std::string::npos) continue;
    const bool gone = key.find("edge0.op2") != std::string::npos || key.find("edge0.op3") != std::string::npos;
    EXPECT_EQ(torch::equal(value, before.at(key)), gone) << key;
  }
  const auto gradients = torch::autograd::grad({logits.sum()}, fused.parameters(), {}, false, false, true);
  const auto parameters = fused.named_parameters();
  for (std::size_t i = 0; i < gradients.size(); ++i) {
    const std::string& key = parameters[i].key();
    const bool gone = key.find("edge0.op2") != std::string::npos || key.find("edge0.op3") != std::string::npos;
    EXPECT_EQ(gradients[i].defined(), !gone) << key;
  }
  fused.set_masks({});
  EXPECT_TRUE(torch::autograd::grad({fused.forward(torch::randn({2, 3, 8, 8}), {torch::full({6, 5}, 0.2)}).sum()},
                                    fused.parameters())[0]
                  .defined());
}

struct PartialNet : Net {
  explicit PartialNet(std::int64_t partial)
      : Net({.channels = 4, .cells = 1, .partial = partial, .edge_weights = true}),
        eta(torch::randn({6, 1}).requires_grad_()),
        gamma(competing_softmax(eta, supernet.arch_shapes().at(1))) {}
  torch::Tensor logits() { return supernet.forward(images, {weights, gamma}); }
  torch::Tensor eta, gamma;
};

TEST(Candidates, EdgeWeightsOfANodeSumToOne) {
  const PartialNet net(2);
  const auto shapes = net.supernet.arch_shapes();
  ASSERT_EQ(shapes.size(), 2U);
  EXPECT_EQ(shapes[1].rows, 6);
  EXPECT_EQ(shapes[1].columns, 1);
  EXPECT_EQ(net.gamma[0].item<float>(), 1.0F);
  EXPECT_NEAR(net.gamma.slice(0, 1, 3).sum().item<double>(), 1.0, 1e-6);
  EXPECT_NEAR(net.gamma.slice(0, 3, 6).sum().item<double>(), 1.0, 1e-6);
}

TEST(Candidates, WithOnePartOnlyEdgesAreWeighted) {
  PartialNet net(1);
  net.gamma = torch::ones({6, 1});
  OracleSupernet plain({.channels = 4, .cells = 1});
  initialise(plain, 1);
  EXPECT_TRUE(torch::allclose(net.logits(), plain.forward(net.images, {net.weights}), 1e-5, 1e-6));
  // An edge's weight times its op weights is the same network.
  net.gamma = torch::tensor({1.0F, 0.25F, 0.75F, 0.5F, 0.2F, 0.3F}).view({6, 1});
  EXPECT_TRUE(torch::allclose(net.logits(), plain.forward(net.images, {net.weights * net.gamma}), 1e-5, 1e-6));
}

TEST(Candidates, WhatIsNotMixedPassesByAndIsShuffled) {
  // One cell whose ops give nothing: of the 4 channels the first 2 become 0, the others pass; then channels 0 2 1 3.
  CandidateCell cell({.channels = 4, .cells = 1, .partial = 2, .edge_weights = true}, 4);
  const torch::Tensor x = torch::arange(1, 5, torch::kFloat).view({1, 4, 1, 1}).expand({1, 4, 2, 2});
  std::vector<torch::Tensor> weights(30, torch::zeros({}));
  for (int edge = 0; edge < 6; ++edge) weights.push_back(torch::tensor(edge == 3 ? 1.0F : 0.0F));  // 3<-0 alone
  MixedOpPass pass;
  const torch::Tensor y = cell.forward(x, weights, &pass);
  EXPECT_TRUE(torch::equal(y.select(2, 0).select(2, 0).flatten(), torch::tensor({0.0F, 3.0F, 0.0F, 4.0F})));
  EXPECT_EQ(pass.cell, 1);
}

TEST(Candidates, PartialChannelsOfTheFusedSupernetAreTheOracles) {
  PartialNet net(2);
  FusedSupernet fused({.channels = 4, .cells = 1, .partial = 2, .edge_weights = true});
  initialise(fused, 1);
  EXPECT_TRUE(torch::allclose(fused.forward(net.images, {net.weights, net.gamma}), net.logits(), 1e-4, 1e-5));
  const auto g = torch::autograd::grad({net.logits().pow(2).sum()}, {net.eta})[0];
  EXPECT_GT(g.abs().slice(0, 1, 6).min().item<double>(), 0.0);
  EXPECT_NEAR(g.slice(0, 3, 6).sum().item<double>(), 0.0, 1e-4 * g.abs().max().item<double>());
  EXPECT_THROW(OracleSupernet({.channels = 4, .cells = 1, .partial = 3}), InputError);
}

TEST(Candidates, EveryEdgeIsAGroupThatKeepsOneOp) {
  const auto groups = NasBench201::op_groups();
  ASSERT_EQ(groups.size(), 6U);
  for (std::size_t edge = 0; edge < 6; ++edge) {
    EXPECT_EQ(groups[edge].first_row, static_cast<std::int64_t>(edge));
    EXPECT_EQ(groups[edge].rows, 1);
    EXPECT_EQ(groups[edge].keep, 1);
  }
}

}  // namespace
}  // namespace flowdarts::nas_bench_201
