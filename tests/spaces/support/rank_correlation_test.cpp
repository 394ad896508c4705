#include <gtest/gtest.h>

#include <cmath>
#include <flowdarts/spaces/support/rank_correlation.hpp>
#include <limits>
#include <vector>

namespace flowdarts {
namespace {

using Numbers = std::vector<double>;
constexpr double infinity = std::numeric_limits<double>::infinity();

TEST(RankCorrelation, IsOneForTheSameOrderAndMinusOneForTheReversedOne) {
  const Numbers x{-3, 0.5, 2, 1e9}, same{1, 2, 3, 4}, reversed{4, 3, 2, 1};
  EXPECT_EQ(kendall_tau_b(x, same), 1);
  EXPECT_EQ(spearman_rho(x, same), 1);
  EXPECT_EQ(kendall_tau_b(x, reversed), -1);
  EXPECT_EQ(spearman_rho(x, reversed), -1);
}

// One of six pairs is discordant; the ranks differ by 0, 1, 1, 0: 1 - 6 * 2 / (4 * 15).
TEST(RankCorrelation, WithoutTies) {
  const Numbers x{1, 2, 3, 4}, y{1, 3, 2, 4};
  EXPECT_DOUBLE_EQ(kendall_tau_b(x, y).value(), 4.0 / 6);
  EXPECT_DOUBLE_EQ(spearman_rho(x, y).value(), 0.8);
}

// Five concordant pairs, one tied in x. Ranks of x: 1, 2.5, 2.5, 4.
TEST(RankCorrelation, WithTiesInOne) {
  const Numbers x{1, 2, 2, 3}, y{1, 2, 3, 4};
  EXPECT_DOUBLE_EQ(kendall_tau_b(x, y).value(), 5 / std::sqrt(5.0 * 6.0));
  EXPECT_DOUBLE_EQ(kendall_tau_b(y, x).value(), 5 / std::sqrt(5.0 * 6.0));
  EXPECT_DOUBLE_EQ(spearman_rho(x, y).value(), 4.5 / std::sqrt(4.5 * 5.0));
}

// Six concordant pairs, two tied in x and two others in y. Ranks less 3: -1.5, -1.5, 0.5, 0.5, 2 and -2, -0.5, -0.5,
// 1.5, 1.5.
TEST(RankCorrelation, WithTiesInBoth) {
  const Numbers x{1, 1, 2, 2, 3}, y{1, 2, 2, 3, 3};
  EXPECT_DOUBLE_EQ(kendall_tau_b(x, y).value(), 6.0 / 8);
  EXPECT_DOUBLE_EQ(spearman_rho(x, y).value(), 7.25 / 9);
}

TEST(RankCorrelation, TakesInfinitiesForNumbers) {
  const Numbers x{-infinity, -infinity, 0, infinity}, y{1, 1, 2, 3};
  EXPECT_EQ(kendall_tau_b(x, y), 1);
  EXPECT_DOUBLE_EQ(spearman_rho(x, y).value(), 1);
}

TEST(RankCorrelation, IsUndefinedWhereOneSideIsConstant) {
  const Numbers same{2, 2, 2}, x{1, 2, 3};
  EXPECT_FALSE(kendall_tau_b(same, x));
  EXPECT_FALSE(kendall_tau_b(x, same));
  EXPECT_FALSE(spearman_rho(same, x));
  EXPECT_FALSE(spearman_rho(x, same));
  EXPECT_FALSE(kendall_tau_b(Numbers{1}, Numbers{1}));
  EXPECT_FALSE(spearman_rho(Numbers{}, Numbers{}));
  EXPECT_THROW(kendall_tau_b(same, Numbers{1}), std::invalid_argument);
  EXPECT_THROW(spearman_rho(same, Numbers{1}), std::invalid_argument);
}

TEST(MeanRanks, StartAtOneAndAreSharedByEqualNumbers) {
  EXPECT_EQ(mean_ranks(Numbers{30, 10, 20, 10, 10}), (Numbers{5, 2, 4, 2, 2}));
  EXPECT_EQ(mean_ranks(Numbers{1, 0, 1}), (Numbers{2.5, 1, 2.5}));
}

}  // namespace
}  // namespace flowdarts
