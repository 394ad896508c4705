#include <gmock/gmock.h>

#include <report/groups.hpp>

#include "written_runs.hpp"

namespace flowdarts::report {
namespace {

using testing::ElementsAre;
using ReportGroups = WrittenRuns;

// 2, 4, 4, 4, 5, 5, 7, 9: mean 5, squares 9 + 1 + 1 + 1 + 0 + 0 + 4 + 16 = 32, over 7.
TEST(MeanDeviation, IsThatOfASample) {
  const std::vector<double> values{2, 4, 4, 4, 5, 5, 7, 9};
  const MeanDeviation result = mean_deviation(values);
  EXPECT_EQ(result.count, 8U);
  EXPECT_DOUBLE_EQ(result.mean, 5);
  ASSERT_TRUE(result.deviation);
  EXPECT_NEAR(*result.deviation, 2.138089935299395, 1e-12);
  EXPECT_EQ(result.text(2), "5.00 ± 2.14");
  const std::vector<double> one{3.456};
  EXPECT_FALSE(mean_deviation(one).deviation);
  EXPECT_EQ(mean_deviation(one).text(1), "3.5");
}

TEST_F(ReportGroups, DifferInNothingButSeedAndPlace) {
  const auto runs =
      read_runs({write_search("a", "darts", 1), write_search("b", "bdp-darts", 1), write_search("c", "darts", 2)});
  const std::vector<Group> groups = group_runs(runs);
  ASSERT_EQ(groups.size(), 2U);
  EXPECT_EQ(groups[0].name, "darts");
  EXPECT_THAT(groups[0].members, ElementsAre(0, 2));
  EXPECT_EQ(groups[1].name, "bdp-darts");
  EXPECT_THAT(groups[1].members, ElementsAre(1));
}

TEST_F(ReportGroups, AreNamedAfterTheOptionsInWhichTheyDiffer) {
  const auto runs =
      read_runs({write_search("a", "bdp-darts", 1, 3, "[prune]\nwindow = 2\n"),
                 write_search("b", "bdp-darts", 2, 3, "[prune]\nwindow = 5\n"), write_search("c", "bdp-darts", 3)});
  const std::vector<Group> groups = group_runs(runs);
  ASSERT_EQ(groups.size(), 3U);
  EXPECT_EQ(groups[0].name, "bdp-darts, prune.window = 2");
  EXPECT_EQ(groups[1].name, "bdp-darts, prune.window = 5");
  EXPECT_EQ(groups[2].name, "bdp-darts, prune.window not set");
}

TEST_F(ReportGroups, OfSeveralSpacesSayWhich) {
  Json row = search_row(1);
  row["genotype"] = nullptr;
  const auto runs = read_runs({write_search("a"), write_run("b", config_of("darts", "darts", 0), {row})});
  const std::vector<Group> groups = group_runs(runs);
  ASSERT_EQ(groups.size(), 2U);
  EXPECT_EQ(groups[0].name, "darts on nas-bench-201");
  EXPECT_EQ(groups[1].name, "darts on darts");
}

}  // namespace
}  // namespace flowdarts::report
