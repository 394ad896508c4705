#include <gtest/gtest.h>

#include <flowdarts/policies/recipes.hpp>

namespace flowdarts {
namespace {

struct AnySpace {
  static constexpr auto provides = capabilities<tags::one_op_per_edge>;
  static constexpr auto needs = capabilities<>;
};

TEST(Method, MissingRolesAreDarts) {
  using M = recipes::BdpDarts<AnySpace>;
  static_assert(std::is_same_v<M::Relaxation, Softmax>);
  static_assert(std::is_same_v<M::Bilevel, FirstOrder>);
  static_assert(std::is_same_v<M::DataPruning, BilevelDataPruning>);
  static_assert(std::is_same_v<M::Stopping, FixedEpochs>);
  const auto names = M::names();
  ASSERT_EQ(names.size(), 7U);
  EXPECT_EQ(names[3], (std::pair<std::string, std::string>("prune", "BilevelDataPruning")));
}

TEST(Method, OrderOfPoliciesDoesNotMatter) {
  using A = Method<AnySpace, SecondOrder, BilevelDataPruning>;
  using B = Method<AnySpace, BilevelDataPruning, SecondOrder>;
  static_assert(std::is_same_v<A::Bilevel, B::Bilevel>);
  EXPECT_EQ(A::names(), B::names());
}

TEST(Method, RecipesCompose) {
  using Both = recipes::BdpBetaDarts<AnySpace>;
  static_assert(std::is_same_v<Both::ArchRegularizer, BetaDecay>);
  static_assert(std::is_same_v<Both::DataPruning, BilevelDataPruning>);
  // What no paper has tried.
  using Untried = Method<AnySpace, BilevelDataPruning, BetaDecay, OperationStrength, StableArchitecture>;
  EXPECT_EQ(Untried::names()[5].second, "OperationStrength");
  using IsWithPruning = Method<AnySpace, Masked, SingleLevel, ImportanceShrink, FeatureInformation, TrainDataPruning>;
  EXPECT_EQ(IsWithPruning::names()[3].second, "TrainDataPruning");
  using StrengthShrink = Method<AnySpace, ImportanceShrink, OperationStrengthStar>;
  EXPECT_EQ(StrengthShrink::names()[4].second, "ImportanceShrink");
}

TEST(TrainDataPruning, LeavesTheValidationSetWhole) {
  const TrainDataPruning policy;
  EXPECT_TRUE(policy.prunes_after(5, 30));
  EXPECT_FALSE(policy.prunes_after(30, 30));
  EXPECT_EQ(policy.rule(Split::train, 30).ratio, 0.15);
  EXPECT_EQ(policy.rule(Split::train, 30).events, 6);
  EXPECT_EQ(policy.rule(Split::val, 30).ratio, 0.0);
}

TEST(BilevelDataPruning, EventsTileTheSearchAndSpareItsEnd) {
  const BilevelDataPruning policy;
  std::vector<int> events;
  for (int completed = 1; completed <= 100; ++completed) {
    if (policy.prunes_after(completed, 100)) events.push_back(completed);
  }
  EXPECT_EQ(events.size(), 19U);
  EXPECT_EQ(events.front(), 5);
  EXPECT_EQ(events.back(), 95);
  EXPECT_EQ(policy.rule(Split::train, 100).events, 20);
  EXPECT_EQ(policy.rule(Split::train, 100).criterion, Criterion::low);
  EXPECT_EQ(policy.rule(Split::val, 100).criterion, Criterion::high);
  EXPECT_THROW(policy.check(4), std::runtime_error);
}

}  // namespace
}  // namespace flowdarts
