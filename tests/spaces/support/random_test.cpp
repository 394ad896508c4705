#include <flowdarts/spaces/support/random.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <set>
#include <vector>

namespace flowdarts {
namespace {

TEST(CounterRng, DependsOnEveryPartOfItsKeyAndOnNothingElse) {
  const auto first = [](CounterRng rng) { return rng(); };
  const std::set<std::uint32_t> draws{first(CounterRng(1, Stream::split)),
                                      first(CounterRng(2, Stream::split)),
                                      first(CounterRng(1, Stream::subset)),
                                      first(CounterRng(1, Stream::split, 1)),
                                      first(CounterRng(1, Stream::split, 0, 1)),
                                      first(CounterRng(1, Stream::split, 0, 0, 1)),
                                      first(CounterRng(1, Stream::split, 0, 0, std::uint64_t{1} << 32U))};
  EXPECT_EQ(draws.size(), 7U);
  EXPECT_EQ(first(CounterRng(1, Stream::split)), first(CounterRng(1, Stream::split)));
}

TEST(CounterRng, BelowIsUniformAndInRange) {
  CounterRng rng(7, Stream::subset);
  std::vector<int> counts(10, 0);
  for (int i = 0; i < 100000; ++i) ++counts.at(rng.below(10));
  for (const int count : counts) EXPECT_NEAR(count, 10000, 400);
}

TEST(CounterRng, NormalHasUnitVariance) {
  CounterRng rng(7, Stream::alpha_init);
  double sum = 0, squares = 0;
  for (int i = 0; i < 100000; ++i) {
    const double x = rng.normal();
    sum += x;
    squares += x * x;
  }
  EXPECT_NEAR(sum / 1e5, 0.0, 0.02);
  EXPECT_NEAR(squares / 1e5, 1.0, 0.02);
}

TEST(CounterRng, ShuffleIsAPermutation) {
  std::vector<int> items(1000);
  std::iota(items.begin(), items.end(), 0);
  CounterRng(3, Stream::train_order).shuffle(std::span(items));
  EXPECT_FALSE(std::ranges::is_sorted(items));
  std::ranges::sort(items);
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(items[i], i);
}

}  // namespace
}  // namespace flowdarts
