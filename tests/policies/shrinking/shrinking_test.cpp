// What shrinking policies do to masks and alphas, when.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <flowdarts/policies/shrinking/gradual_hard_prune.hpp>
#include <flowdarts/policies/shrinking/hard_prune.hpp>
#include <flowdarts/policies/shrinking/importance_shrink.hpp>
#include <flowdarts/policies/shrinking/progressive_stages.hpp>
#include <flowdarts/policies/shrinking/soft_prune_fixed.hpp>
#include <flowdarts/policies/shrinking/soft_prune_linear.hpp>
#include <limits>

#include "setting.hpp"

namespace flowdarts {
namespace {

using testing::Setting;

constexpr double infinity = std::numeric_limits<double>::infinity();

template <class Policy>
typename Policy::Options options() {
  return {};
}

// The table of counts of IS-DARTS on the DARTS space: 2, 3, 4 and 5 inputs of eight ops, 7 steps, two ops kept.
TEST(ImportanceShrink, NarrowsTheNodesOfTheDartsSpaceAsItsCodeDoes) {
  auto o = options<ImportanceShrink>();
  o.steps = 7;
  o.interval = 3;
  const ImportanceShrink policy(o);
  Setting setting{.all_epochs = 50, .matrices = {{14, 8}}};
  std::int64_t row = 0;
  for (const std::int64_t inputs : {2, 3, 4, 5}) {
    setting.competing.push_back({.matrix = 0, .first_row = row, .rows = inputs, .keep = 2});
    row += inputs;
  }
  setting.left = {std::vector<bool>(14 * 8, true)};
  setting.importance = {std::vector<double>(14 * 8)};
  for (std::size_t i = 0; i < 14 * 8; ++i) setting.importance[0][i] = static_cast<double>((i * 37) % 113);
  std::vector<std::vector<std::size_t>> counts(4);
  std::vector<std::int64_t> shrinks;
  for (std::int64_t completed = 1; completed <= 50; ++completed) {
    setting.completed_epochs = completed;
    const OpMasks before = setting.left;
    policy.after_epoch(setting);
    for (std::size_t i = 0; i < before[0].size(); ++i) EXPECT_LE(setting.left[0][i], before[0][i]) << "came back";
    if (setting.left == before) continue;
    shrinks.push_back(completed);
    for (std::size_t node = 0; node < 4; ++node) {
      const OpGroup& group = setting.competing[node];
      counts[node].push_back(count_left(setting.left[0], static_cast<std::size_t>(group.first_row) * 8,
                                        static_cast<std::size_t>(group.rows) * 8));
    }
  }
  EXPECT_THAT(shrinks, ::testing::ElementsAre(29, 32, 35, 38, 41, 44, 47));
  EXPECT_EQ(setting.asked, 7) << "an importance is measured only where something follows";
  EXPECT_THAT(counts[0], ::testing::ElementsAre(14, 12, 10, 8, 6, 4, 2));
  EXPECT_THAT(counts[1], ::testing::ElementsAre(20, 17, 14, 11, 8, 5, 2));
  EXPECT_THAT(counts[2], ::testing::ElementsAre(27, 22, 18, 14, 10, 6, 2));
  EXPECT_THAT(counts[3], ::testing::ElementsAre(34, 28, 22, 17, 12, 7, 2));
  // With fixed scores the best two of each group are left.
  for (const OpGroup& group : setting.competing) {
    std::vector<std::pair<double, bool>> ops;
    for (std::int64_t i = group.first_row * 8; i < (group.first_row + group.rows) * 8; ++i) {
      ops.emplace_back(setting.importance[0][static_cast<std::size_t>(i)],
                       setting.left[0][static_cast<std::size_t>(i)]);
    }
    std::ranges::sort(ops, std::greater());
    for (std::size_t i = 0; i < ops.size(); ++i) EXPECT_EQ(ops[i].second, i < 2);
  }
}

TEST(ImportanceShrink, TakesOneOpOfAnEdgeAStepOnNasBench201) {
  const ImportanceShrink policy;
  Setting setting{.all_epochs = 30, .matrices = {{2, 5}}};
  setting.competing = {{.matrix = 0, .first_row = 0}, {.matrix = 0, .first_row = 1}};
  setting.left = {std::vector<bool>(10, true)};
  // Two of the first edge are as bad as can be: the lower index goes first.
  setting.importance = {{-infinity, -infinity, 2.0, 3.0, 1.0, 0.1, 0.5, 0.5, 0.4, 0.2}};
  std::vector<std::vector<bool>> seen;
  for (const std::int64_t completed : {21, 22, 23, 24, 26, 28, 30}) {
    setting.completed_epochs = completed;
    policy.after_epoch(setting);
    seen.push_back(setting.left[0]);
  }
  const std::vector<std::vector<bool>> expected{{1, 1, 1, 1, 1, 1, 1, 1, 1, 1}, {0, 1, 1, 1, 1, 0, 1, 1, 1, 1},
                                                {0, 1, 1, 1, 1, 0, 1, 1, 1, 1}, {0, 0, 1, 1, 1, 0, 1, 1, 1, 0},
                                                {0, 0, 1, 1, 0, 0, 1, 1, 0, 0}, {0, 0, 0, 1, 0, 0, 0, 1, 0, 0},
                                                {0, 0, 0, 1, 0, 0, 0, 1, 0, 0}};
  EXPECT_EQ(seen, expected);
}

// Layers of seven ops and of six, each a matrix of its own, as in the MobileNet-like space.
TEST(ImportanceShrink, NarrowsMatricesOfDifferentWidths) {
  auto o = options<ImportanceShrink>();
  o.steps = 6;
  const ImportanceShrink policy(o);
  Setting setting{.all_epochs = 30, .matrices = {{1, 7}, {1, 6}}};
  setting.competing = {{.matrix = 0}, {.matrix = 1}};
  setting.left = {std::vector<bool>(7, true), std::vector<bool>(6, true)};
  setting.importance = {{3, 2, 1, 7, 5, 6, 7}, {1, 1, 1, 1, 1, 1}};
  std::vector<std::size_t> sevens, sixes;
  for (std::int64_t completed = 1; completed <= 30; ++completed) {
    setting.completed_epochs = completed;
    const OpMasks before = setting.left;
    policy.after_epoch(setting);
    if (setting.left == before) continue;
    sevens.push_back(count_left(setting.left[0], 0, 7));
    sixes.push_back(count_left(setting.left[1], 0, 6));
  }
  EXPECT_THAT(sevens, ::testing::ElementsAre(6, 5, 4, 3, 2, 1));
  EXPECT_THAT(sixes, ::testing::ElementsAre(5, 4, 3, 2, 1, 1));
  EXPECT_EQ(setting.left, OpMasks({{0, 0, 0, 0, 0, 0, 1}, {0, 0, 0, 0, 0, 1}})) << "of equal ones the last is left";
}

TEST(ImportanceShrink, MustEndWithinTheSearch) {
  EXPECT_NO_THROW(ImportanceShrink().check(9));
  EXPECT_THROW(ImportanceShrink().check(8), InputError);
}

template <class Policy>
std::vector<double> alphas_after(std::int64_t epoch, Setting& setting) {
  setting.completed_epochs = epoch;
  setting.alpha = {torch::tensor({{0.4, -0.2, 0.1}, {0.4, 0.3, 0.4}}, torch::kDouble)};
  Policy().before_epoch(setting);
  const torch::Tensor flat = setting.alpha[0].contiguous();
  return {flat.const_data_ptr<double>(), flat.const_data_ptr<double>() + flat.numel()};
}

// Warm-up of 20 epochs, then 30: in pruning epoch 15 the linear schedule halves.
TEST(SoftPrune, DecaysAllButTheMostImportantOpOfAnEdge) {
  Setting setting{.all_epochs = 50, .matrices = {{2, 3}}, .left = {std::vector<bool>(6, true)}};
  setting.importance = {{1.0, 3.0, 2.0, 5.0, 5.0, 4.0}};  // a tie in the second row: its first op
  const auto linear = [&](std::int64_t epoch) { return alphas_after<SoftPruneLinear>(epoch, setting); };
  const auto fixed = [&](std::int64_t epoch) { return alphas_after<SoftPruneFixed>(epoch, setting); };
  using ::testing::ElementsAre;
  EXPECT_THAT(linear(19), ElementsAre(0.4, -0.2, 0.1, 0.4, 0.3, 0.4));
  EXPECT_THAT(fixed(19), ElementsAre(0.4, -0.2, 0.1, 0.4, 0.3, 0.4));
  EXPECT_EQ(setting.asked, 0);
  EXPECT_THAT(linear(20), ElementsAre(0.4, -0.2, 0.1, 0.4, 0.3, 0.4));
  EXPECT_EQ(setting.asked, 1);
  EXPECT_THAT(linear(35), ElementsAre(0.2, -0.2, 0.05, 0.4, 0.15, 0.2));
  EXPECT_THAT(fixed(20), ElementsAre(0.0, -0.2, 0.0, 0.4, 0.0, 0.0));
  EXPECT_THAT(fixed(49), ElementsAre(0.0, -0.2, 0.0, 0.4, 0.0, 0.0));
  EXPECT_NEAR(SoftPruneLinear::factor(29, 30), 1.0 / 30.0, 1e-15);
}

TEST(SoftPrune, DecaysMatricesOfDifferentWidths) {
  const std::vector<torch::Tensor> alphas{torch::ones({1, 3}, torch::kDouble), torch::ones({1, 2}, torch::kDouble)};
  const std::vector<ArchShape> shapes{{1, 3}, {1, 2}};
  decay_all_but_best(alphas, {{1, 2, 3}, {2, 1}}, shapes, 0.5);
  EXPECT_TRUE(alphas[0].equal(torch::tensor({{0.5, 0.5, 1.0}}, torch::kDouble)));
  EXPECT_TRUE(alphas[1].equal(torch::tensor({{1.0, 0.5}}, torch::kDouble)));
}

TEST(SoftPrune, HoldsAlphaDuringTheWarmUp) {
  EXPECT_FALSE(SoftPruneLinear().trains_alpha(19, 50));
  EXPECT_TRUE(SoftPruneLinear().trains_alpha(20, 50));
  EXPECT_EQ(HardPrune().skip_dropout(3, 50), 0.2);
  EXPECT_THROW(SoftPruneFixed().check(20), InputError);
  EXPECT_NO_THROW(SoftPruneFixed().check(21));
  EXPECT_THROW(GradualHardPrune().check(22), InputError);
}

TEST(GradualHardPrune, LeavesThreeThenTwoThenOne) {
  const GradualHardPrune policy;
  EXPECT_EQ(policy.end_of_stage(0, 50), 30);
  EXPECT_EQ(policy.end_of_stage(1, 50), 40);
  EXPECT_EQ(policy.end_of_stage(2, 50), 50);
  Setting setting{.all_epochs = 50, .matrices = {{1, 5}}, .left = {std::vector<bool>(5, true)}};
  setting.importance = {{5.0, 2.0, 2.0, 4.0, 1.0}};
  std::vector<std::size_t> counts;
  for (std::int64_t completed = 1; completed <= 50; ++completed) {
    setting.completed_epochs = completed;
    policy.after_epoch(setting);
    counts.push_back(count_left(setting.left[0], 0, 5));
  }
  EXPECT_EQ(setting.asked, 3);
  EXPECT_EQ(std::vector<std::size_t>({counts[28], counts[29], counts[38], counts[39], counts[48], counts[49]}),
            std::vector<std::size_t>({5, 3, 3, 2, 2, 1}));
  EXPECT_THAT(setting.left[0], ::testing::ElementsAre(true, false, false, false, false));
}

TEST(GradualHardPrune, LeavesAsManyOfMatricesOfDifferentWidths) {
  Setting setting{.completed_epochs = 30, .all_epochs = 50, .matrices = {{1, 7}, {1, 6}}};
  setting.left = {std::vector<bool>(7, true), std::vector<bool>(6, true)};
  setting.importance = {{1, 2, 3, 4, 5, 6, 7}, {6, 5, 4, 3, 2, 1}};
  GradualHardPrune().after_epoch(setting);
  EXPECT_EQ(setting.left, OpMasks({{0, 0, 0, 0, 1, 1, 1}, {1, 1, 1, 0, 0, 0}}));
}

// 75 epochs: three stages of 25, ten of each without alpha.
TEST(ProgressiveStages, AreThreeOfOneLength) {
  const ProgressiveStages policy;
  EXPECT_EQ(policy.stage_of(24, 75).index, 0);
  const SearchStage second = policy.stage_of(25, 75);
  EXPECT_EQ(second.index, 1);
  EXPECT_EQ(second.first, 25);
  EXPECT_EQ(second.length, 25);
  EXPECT_EQ(policy.stage_of(74, 75).index, 2);
  EXPECT_EQ(policy.stage_of(3, 10).index, 1) << "of 10 epochs 3, 3 and 4";
  EXPECT_EQ(policy.stage_of(9, 10).length, 4);
  EXPECT_FALSE(policy.trains_alpha(34, 75));
  EXPECT_TRUE(policy.trains_alpha(35, 75));
  EXPECT_THROW(policy.check(30), InputError);
  EXPECT_NO_THROW(policy.check(33));
  struct {
    std::int64_t cells = 5;
  } spec;
  policy.form(spec, 2);
  EXPECT_EQ(spec.cells, 17);
}

TEST(ProgressiveStages, DropoutFallsWithinAStageAndGrowsFromOneToTheNext) {
  const ProgressiveStages policy;
  EXPECT_NEAR(policy.skip_dropout(0, 75), 0.1 * 24 / 25, 1e-15);
  EXPECT_NEAR(policy.skip_dropout(9, 75), 0.1 * 15 / 25, 1e-15);
  EXPECT_NEAR(policy.skip_dropout(10, 75), 0.1, 1e-15);
  EXPECT_NEAR(policy.skip_dropout(24, 75), 0.1 * std::exp(-2.8), 1e-15);
  EXPECT_NEAR(policy.skip_dropout(25, 75), 0.4 * 24 / 25, 1e-15);
  EXPECT_NEAR(policy.skip_dropout(60, 75), 0.7, 1e-15);
}

TEST(ProgressiveStages, LeaveFiveThenThreeOfEightOps) {
  Setting setting{.all_epochs = 75, .matrices = {{1, 8}, {1, 1}}};
  setting.left = {std::vector<bool>(8, true), {true}};
  setting.importance = {{0.3, 0.1, 0.2, 0.1, 0.05, 0.1, 0.1, 0.05}, {1.0}};
  std::vector<std::vector<bool>> seen;
  for (const std::int64_t completed : {24, 25, 49, 50, 75}) {
    setting.completed_epochs = completed;
    ProgressiveStages().after_epoch(setting);
    seen.push_back(setting.left[0]);
  }
  const std::vector<bool> all(8, true), five{1, 0, 1, 1, 0, 1, 1, 0}, three{1, 0, 1, 0, 0, 0, 1, 0};
  EXPECT_EQ(seen, std::vector<std::vector<bool>>({all, five, five, three, three}));
  EXPECT_EQ(setting.left[1], std::vector<bool>{true}) << "an edge's own weight is no op";
}

}  // namespace
}  // namespace flowdarts
