// Budgets against all architectures one by one.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <flowdarts/spaces/darts/budget.hpp>
#include <flowdarts/spaces/darts/derive.hpp>
#include <flowdarts/spaces/mobilenet/budget.hpp>
#include <flowdarts/spaces/nas_bench_201/budget.hpp>
#include <flowdarts/spaces/support/error.hpp>
#include <random>

namespace flowdarts {
namespace {

std::vector<double> random_scores(std::size_t count, unsigned seed) {
  std::mt19937 engine(seed);
  std::vector<double> scores(count);
  for (double& score : scores) score = static_cast<double>(engine() % 100000) / 100000;
  return scores;
}

TEST(BestWithin, TakesTheBestSumInside) {
  // By hand: 5 + 4 costs 3 + 3 and does not fit 5; 5 + 1 = 6 does with 3 + 1, 2 + 4 = 6 with 1 + 3; 5 + 3 = 8 with 3
  // + 2.
  const std::vector<std::vector<Choice>> groups{{{5, {3, 0}}, {2, {1, 0}}}, {{4, {3, 0}}, {1, {1, 0}}, {3, {2, 0}}}};
  EXPECT_EQ(best_within(groups, {}, {.max_params = 5}), (std::vector<std::size_t>{0, 2}));
  EXPECT_EQ(best_within(groups, {}, {}), (std::vector<std::size_t>{0, 0}));
  EXPECT_EQ(best_within(groups, {1, 0}, {.max_params = 3}), (std::vector<std::size_t>{1, 1}));
  EXPECT_EQ(best_within(groups, {2, 0}, {.max_params = 3}), std::nullopt);
  EXPECT_EQ(least_cost(groups, {2, 7}), (NetworkCost{4, 7}));
}

TEST(BestWithin, LeavesOutWhatMayNotBe) {
  const std::vector<std::vector<Choice>> groups{{{-INFINITY, {0, 0}}, {1, {5, 0}}}};
  EXPECT_EQ(best_within(groups, {}, {}), (std::vector<std::size_t>{1}));
  EXPECT_EQ(best_within(groups, {}, {.max_params = 4}), std::nullopt);
}

TEST(BestWithin, IsExactWithTwoLimits) {
  for (unsigned seed = 0; seed < 200; ++seed) {
    std::mt19937 engine(seed);
    std::vector<std::vector<Choice>> groups(5);
    for (auto& group : groups) {
      for (int c = 0; c < 4; ++c) {
        const auto number = [&](unsigned below) { return static_cast<std::int64_t>(engine() % below); };
        const auto score = static_cast<double>(number(1000));
        group.push_back({score, {number(20) - 5, number(20)}});
      }
    }
    const Budget budget{.max_params = 20, .max_macs = 35};
    double best = -1;
    for (std::size_t all = 0; all < 1024; ++all) {
      NetworkCost cost{3, 2};
      double score = 0;
      for (std::size_t g = 0, rest = all; g < 5; ++g, rest /= 4) {
        cost += groups[g][rest % 4].cost;
        score += groups[g][rest % 4].score;
      }
      if (budget.holds(cost)) best = std::max(best, score);
    }
    const auto places = best_within(groups, {3, 2}, budget);
    ASSERT_EQ(places.has_value(), best >= 0) << seed;
    if (!places) continue;
    NetworkCost cost{3, 2};
    double score = 0;
    for (std::size_t g = 0; g < 5; ++g) {
      cost += groups[g][(*places)[g]].cost;
      score += groups[g][(*places)[g]].score;
    }
    EXPECT_TRUE(budget.holds(cost));
    EXPECT_EQ(score, best) << seed;
  }
}

TEST(NasBench201Budget, FindsTheBestOfAllCells) {
  using namespace nas_bench_201;
  const auto sum_of = [](const Genotype& genotype, const std::vector<double>& scores) {
    double sum = 0;
    for (std::size_t e = 0; e < edges.size(); ++e) sum += scores[e * 5 + static_cast<std::size_t>(genotype.ops[e])];
    return sum;
  };
  for (unsigned seed = 0; seed < 4; ++seed) {
    const std::vector<double> scores = random_scores(30, seed);
    for (const Budget& budget : {Budget{.max_params = 400000},
                                 {.max_macs = 40000000},
                                 {.max_params = 500000, .max_macs = 60000000},
                                 {.max_params = 80000}}) {
      std::optional<Genotype> best;
      for (int i = 0; i < genotype_count; ++i) {
        const Genotype own = Genotype::from_index(i);
        const NetworkCounts counts = count_network(own);
        if (!budget.holds({counts.params, counts.macs})) continue;
        if (!best || sum_of(own, scores) > sum_of(*best, scores)) best = own;
      }
      EXPECT_EQ(derive_within(scores, budget), best) << seed;
    }
    EXPECT_EQ(derive_within(scores, {}), derive(scores));
  }
  EXPECT_EQ(derive_within(random_scores(30, 1), {.max_params = 10000}), std::nullopt);
  EXPECT_EQ(least_cost(), (NetworkCost{count_network({}).params, count_network({}).macs}));
  EXPECT_THROW((void)derive_within(std::vector<double>(7), {}), InputError);
}

TEST(MobilenetBudget, KeepsTheLimitsAndBeatsSingleChanges) {
  using namespace mobilenet;
  std::vector<std::vector<double>> scores;
  double whole = 0;
  for (int layer = 0; layer < layer_count; ++layer) {
    scores.push_back(random_scores(static_cast<std::size_t>(columns_of(layer)), 100U + static_cast<unsigned>(layer)));
    whole += *std::ranges::max_element(scores.back());
  }
  const auto sum_of = [&](const Genotype& genotype) {
    double sum = 0;
    for (std::size_t l = 0; l < genotype.ops.size(); ++l) sum += scores[l][static_cast<std::size_t>(genotype.ops[l])];
    return sum;
  };
  EXPECT_EQ(derive_within(scores, {}), derive(scores));
  const Budget budget{.max_params = 3500000, .max_macs = 300000000};
  const NetworkCounts first = count_network(derive(scores));
  ASSERT_FALSE(budget.holds({first.params, first.macs}));
  const auto inside = derive_within(scores, budget);
  ASSERT_TRUE(inside);
  const NetworkCounts counts = count_network(*inside);
  EXPECT_TRUE(budget.holds({counts.params, counts.macs}));
  EXPECT_LT(sum_of(*inside), whole);
  // Nothing that differs in one or two layers is inside and better.
  for (int a = 0; a < layer_count; ++a) {
    for (int b = a; b < layer_count; ++b) {
      for (int op = 0; op < columns_of(a); ++op) {
        for (int other = 0; other < columns_of(b); ++other) {
          Genotype changed = *inside;
          changed.ops[static_cast<std::size_t>(a)] = static_cast<Op>(op);
          changed.ops[static_cast<std::size_t>(b)] = static_cast<Op>(other);
          if (sum_of(changed) <= sum_of(*inside) + 1e-12) continue;
          const NetworkCounts own = count_network(changed);
          EXPECT_FALSE(budget.holds({own.params, own.macs})) << to_string(changed);
        }
      }
    }
  }
  EXPECT_EQ(derive_within(scores, {.max_params = least_cost().params - 1}), std::nullopt);
  EXPECT_NE(derive_within(scores, {.max_params = least_cost().params}), std::nullopt);
}

TEST(DartsBudget, WithoutOneIsTheRule) {
  using namespace darts;
  for (unsigned seed = 0; seed < 20; ++seed) {
    const std::vector<double> normal = random_scores(14 * 8, seed), reduce = random_scores(14 * 8, 50 + seed);
    EXPECT_EQ(derive_within(normal, reduce, 4, NodeRule::two_edges, {}, {}),
              (Genotype{derive(normal), derive(reduce)}));
    EXPECT_EQ(derive_within(normal, reduce, 4, NodeRule::two_ops, {}, {}),
              (Genotype{derive_of_nodes(normal), derive_of_nodes(reduce)}));
  }
}

TEST(DartsBudget, FindsTheBestOfAllGenotypesOfOneNode) {
  using namespace darts;
  const std::vector<double> normal = random_scores(2 * 7, 1), reduce = random_scores(2 * 7, 2);
  const auto sum_of = [](const std::vector<double>& scores, const Cell& cell) {
    double sum = 0;
    for (const Input& input : cell.inputs) {
      sum += scores[static_cast<std::size_t>(input.state) * 7 + static_cast<std::size_t>(input.op) - 1];
    }
    return sum;
  };
  std::vector<Cell> cells;
  for (int a = 1; a < 8; ++a) {
    for (int b = 1; b < 8; ++b) {
      cells.push_back({.inputs = {{static_cast<Op>(a), 0}, {static_cast<Op>(b), 1}}, .concat = {2}});
    }
  }
  for (const std::int64_t limit : {400000, 500000, 600000}) {
    const Budget budget{.max_params = limit};
    double best = -1;
    for (const Cell& n : cells) {
      for (const Cell& r : cells) {
        if (budget.holds(cost_of({n, r}, {}))) best = std::max(best, sum_of(normal, n) + sum_of(reduce, r));
      }
    }
    const auto found = derive_within(normal, reduce, 1, NodeRule::two_edges, budget, {});
    ASSERT_EQ(found.has_value(), best >= 0) << limit;
    if (!found) continue;
    EXPECT_TRUE(budget.holds(cost_of(*found, {})));
    EXPECT_EQ(sum_of(normal, found->normal) + sum_of(reduce, found->reduce), best) << limit;
  }
}

TEST(DartsBudget, KeepsTheLimits) {
  using namespace darts;
  const std::vector<double> normal = random_scores(14 * 8, 7), reduce = random_scores(14 * 8, 8);
  const NetworkCost free = cost_of({derive(normal), derive(reduce)}, {});
  const NetworkCost least = least_cost(4, {});
  const Budget budget{.max_params = (free.params + least.params) / 2, .max_macs = (free.macs + least.macs) / 2};
  for (const NodeRule rule : {NodeRule::two_edges, NodeRule::two_ops}) {
    const auto inside = derive_within(normal, reduce, 4, rule, budget, {});
    ASSERT_TRUE(inside);
    EXPECT_TRUE(budget.holds(cost_of(*inside, {})));
  }
  EXPECT_EQ(derive_within(normal, reduce, 4, NodeRule::two_edges, {.max_macs = least.macs - 1}, {}), std::nullopt);
}

TEST(DartsBudget, KeepsTheSkipLimit) {
  using namespace darts;
  std::vector<double> normal = random_scores(14 * 8, 7);
  for (std::size_t edge = 0; edge < 14; ++edge) normal[edge * 8 + 3] += 1.0;  // skips on top
  const std::vector<double> reduce = random_scores(14 * 8, 8);
  const auto skips = [](const Cell& cell) { return std::ranges::count(cell.inputs, Op::skip_connect, &Input::op); };
  const Budget budget{.max_params = 3000000};
  EXPECT_EQ(skips(derive_within(normal, reduce, 4, NodeRule::two_edges, budget, {})->normal), 8);
  const auto limited = derive_within(normal, reduce, 4, NodeRule::two_edges, budget, {}, 2);
  ASSERT_TRUE(limited);
  EXPECT_LE(skips(limited->normal), 2);
  EXPECT_TRUE(budget.holds(cost_of(*limited, {})));
}

}  // namespace
}  // namespace flowdarts
