#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <flowdarts/spaces/support/error.hpp>
#include <flowdarts/stages/prune/one_shot.hpp>
#include <numeric>
#include <vector>

namespace flowdarts {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(OneShotCut, DropsTheLowestOrTheHighestScores) {
  const std::vector<double> scores{0.5, 0.1, 0.9, 0.1, 0.7};
  EXPECT_THAT(one_shot_cut(scores, 0.5, Criterion::low), ElementsAre(0, 2, 4));
  EXPECT_THAT(one_shot_cut(scores, 0.5, Criterion::high), ElementsAre(0, 1, 3));
  EXPECT_THAT(one_shot_cut(scores, 0.2, Criterion::low),
              ElementsAre(0, 2, 3, 4));  // of the tie the lower position goes
  EXPECT_THAT(one_shot_cut(scores, 0, Criterion::low), ElementsAre(0, 1, 2, 3, 4));
  EXPECT_THAT(one_shot_cut({}, 0.5, Criterion::low), IsEmpty());
  EXPECT_THROW((void)one_shot_cut(scores, 1, Criterion::low), InputError);
  EXPECT_THROW((void)one_shot_cut(scores, -0.1, Criterion::low), InputError);
}

class RandomSubset : public testing::Test {
 protected:
  RandomSubset() : ids(1000) { std::iota(ids.begin(), ids.end(), 5000); }
  std::vector<std::int64_t> ids;
};

TEST_F(RandomSubset, HasTheAskedSizeInTheOrderOfTheIds) {
  const auto subset = random_subset(ids, 0.29, 1, Split::train);
  EXPECT_EQ(subset.size(), 290U);
  EXPECT_TRUE(std::ranges::includes(ids, subset));
  EXPECT_EQ(random_subset(ids, 1, 1, Split::train), ids);
  EXPECT_THAT(random_subset(ids, 0, 1, Split::train), IsEmpty());
  EXPECT_THROW((void)random_subset(ids, 1.01, 1, Split::train), InputError);
}

TEST_F(RandomSubset, DependsOnSeedAndSplitAlone) {
  const auto subset = random_subset(ids, 0.5, 1, Split::train);
  EXPECT_EQ(random_subset(ids, 0.5, 1, Split::train), subset);
  EXPECT_NE(random_subset(ids, 0.5, 2, Split::train), subset);
  EXPECT_NE(random_subset(ids, 0.5, 1, Split::val), subset);
}

TEST_F(RandomSubset, IsUniform) {
  std::vector<int> hits(ids.size());
  for (std::uint64_t seed = 0; seed < 400; ++seed) {
    for (const std::int64_t id : random_subset(ids, 0.25, seed, Split::val))
      ++hits[static_cast<std::size_t>(id - 5000)];
  }
  const auto [least, most] = std::ranges::minmax(hits);  // mean 100, standard deviation 8.7
  EXPECT_GT(least, 60);
  EXPECT_LT(most, 145);
}

TEST_F(RandomSubset, SmallerSubsetsLieInLargerOnes) {
  const auto large = random_subset(ids, 0.6, 3, Split::train);
  EXPECT_TRUE(std::ranges::includes(large, random_subset(ids, 0.2, 3, Split::train)));
}

}  // namespace
}  // namespace flowdarts
