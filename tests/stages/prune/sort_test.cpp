#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <tbb/task_arena.h>

#include <algorithm>
#include <cmath>
#include <flowdarts/spaces/support/error.hpp>
#include <flowdarts/spaces/support/random.hpp>
#include <flowdarts/stages/prune/sort.hpp>
#include <limits>
#include <string>
#include <vector>

namespace flowdarts {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class Rank : public testing::TestWithParam<SortBackend> {
 protected:
  void SetUp() override {
    if (!is_available(GetParam())) GTEST_SKIP() << "no GPU here, or a build without FLOWDARTS_CUDA";
  }

  static std::vector<std::uint32_t> ascending(const std::vector<double>& scores,
                                              const std::vector<std::uint8_t>& eligible = {}) {
    return rank(scores, eligible, SortOrder::ascending, {.backend = GetParam()});
  }
  static std::vector<std::uint32_t> descending(const std::vector<double>& scores,
                                               const std::vector<std::uint8_t>& eligible = {}) {
    return rank(scores, eligible, SortOrder::descending, {.backend = GetParam()});
  }
};

INSTANTIATE_TEST_SUITE_P(Backends, Rank, testing::Values(SortBackend::serial, SortBackend::thrust, SortBackend::cuda),
                         [](const auto& instance) { return std::string(name_of(instance.param)); });

TEST_P(Rank, OrdersByScoreAndTiesByPosition) {
  const std::vector<double> scores{2, 1, 3, 1, 2};
  EXPECT_THAT(ascending(scores), ElementsAre(1, 3, 0, 4, 2));
  EXPECT_THAT(descending(scores), ElementsAre(2, 0, 4, 1, 3));
}

TEST_P(Rank, OrdersTheWholeRangeOfDoubles) {
  const double infinity = std::numeric_limits<double>::infinity();
  const double tiny = std::numeric_limits<double>::denorm_min();
  const std::vector<double> scores{0.0, infinity, -1.5, tiny, -0.0, -infinity, -tiny, 1.5};
  EXPECT_THAT(ascending(scores), ElementsAre(5, 2, 6, 0, 4, 3, 7, 1));
  EXPECT_THAT(descending(scores), ElementsAre(1, 7, 3, 0, 4, 6, 2, 5));
}

TEST_P(Rank, LeavesOutWhatIsNotEligible) {
  const std::vector<double> scores{2, std::nan(""), 3, 1};
  EXPECT_THAT(ascending(scores, {1, 0, 1, 1}), ElementsAre(3, 0, 2));
  EXPECT_THAT(descending(scores, {0, 0, 1, 1}), ElementsAre(2, 3));
  EXPECT_THAT(ascending(scores, {0, 0, 0, 0}), IsEmpty());
  EXPECT_THAT(ascending({}), IsEmpty());
}

TEST_P(Rank, RefusesANanScore) {
  try {
    (void)ascending({1, 2, -std::nan(""), 3});
    FAIL() << "NaN accepted";
  } catch (const RunError& error) {
    EXPECT_THAT(error.what(), HasSubstr("position 2: found NaN"));
  }
}

TEST_P(Rank, EqualsAStableSortOfTheScores) {
  // Above the sizes at which Thrust cuts its work into pieces; few distinct scores make many ties.
  for (const std::size_t size : {1UL, 2UL, 1000UL, 131'073UL, 400'000UL}) {
    for (const std::uint64_t distinct : {1ULL, 5ULL, 1000ULL, 1ULL << 40U}) {
      CounterRng rng(size, Stream::noise, 0, static_cast<std::uint32_t>(distinct));
      std::vector<double> scores(size);
      std::vector<std::uint8_t> eligible(size);
      for (double& score : scores) score = (static_cast<double>(rng.below(distinct)) - 2) / 7;
      for (std::uint8_t& flag : eligible) flag = rng.below(10) > 0 ? 1 : 0;
      std::vector<std::uint32_t> expected;
      for (std::uint32_t i = 0; i < size; ++i) {
        if (eligible[i] != 0) expected.push_back(i);
      }
      std::ranges::stable_sort(expected, std::ranges::less{}, [&](std::uint32_t i) { return scores[i]; });
      ASSERT_EQ(ascending(scores, eligible), expected) << size << " scores, " << distinct << " distinct";
      std::ranges::sort(expected);
      std::ranges::stable_sort(expected, std::ranges::greater{}, [&](std::uint32_t i) { return scores[i]; });
      ASSERT_EQ(descending(scores, eligible), expected) << size << " scores, " << distinct << " distinct";
    }
  }
}

TEST(SortBackends, TheNumberOfThreadsDoesNotMatter) {
  std::vector<double> scores(700'000);
  for (std::size_t i = 0; i < scores.size(); ++i) {
    scores[i] = static_cast<double>(CounterRng(2, Stream::noise, 0, 0, i).below(50'000));
  }
  const auto expected = rank(scores, {}, SortOrder::descending, {.backend = SortBackend::serial});
  for (const int threads : {1, 2, 4}) {
    tbb::task_arena arena(threads);
    EXPECT_EQ(arena.execute([&] { return rank(scores, {}, SortOrder::descending); }), expected) << threads;
  }
}

TEST(SortBackends, AnUnavailableOneIsRefusedNotReplaced) {
  EXPECT_TRUE(is_available(SortBackend::serial));
  EXPECT_TRUE(is_available(SortBackend::thrust));
  if (is_available(SortBackend::cuda)) GTEST_SKIP() << "every back end is available here";
  const std::vector<double> scores{1, 2};
  EXPECT_THROW((void)rank(scores, {}, SortOrder::ascending, {.backend = SortBackend::cuda}), RunError);
  EXPECT_THROW((void)make_device_sorter(2), RunError);
}

}  // namespace
}  // namespace flowdarts
