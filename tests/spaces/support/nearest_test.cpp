#include <gtest/gtest.h>

#include <flowdarts/spaces/support/nearest.hpp>
#include <flowdarts/spaces/support/quote.hpp>
#include <string>
#include <vector>

namespace flowdarts {
namespace {

TEST(EditDistance, CountsInsertionsDeletionsSubstitutionsAndSwaps) {
  EXPECT_EQ(edit_distance("", ""), 0U);
  EXPECT_EQ(edit_distance("", "abc"), 3U);
  EXPECT_EQ(edit_distance("abc", ""), 3U);
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3U);
  EXPECT_EQ(edit_distance("jsno", "json"), 1U);
  EXPECT_EQ(edit_distance("ca", "abc"), 3U);  // 2 in the unrestricted form, which may edit a swapped pair again
  EXPECT_EQ(edit_distance("--epocs", "--epochs"), 1U);
}

TEST(NearestName, IsTheOneOfLeastDistance) {
  const std::vector<std::string> known{"--epochs", "--batch-size", "--seed"};
  EXPECT_EQ(nearest_name("--epcohs", known), "--epochs");
  EXPECT_EQ(nearest_name("--sed", known), "--seed");
  EXPECT_EQ(nearest_name("--batchsize", known), "--batch-size");
  EXPECT_EQ(nearest_name("zzz", known), "--seed");
}

TEST(NearestName, PrefersAnAbbreviatedNameAndThenTheFirst) {
  const std::vector<std::string> known{"--json", "--benchmark-table"};
  EXPECT_EQ(nearest_name("--bench", known), "--benchmark-table");
  EXPECT_EQ(nearest_name("b", std::vector<std::string>{"a", "c"}), "a");
}

TEST(NearestName, IsEmptyWhenNothingIsKnown) {
  EXPECT_EQ(nearest_name("x", {}), std::nullopt);
}

TEST(Quote, GivesOneReadableLine) {
  EXPECT_EQ(quote("a b"), "\"a b\"");
  EXPECT_EQ(quote("a\nb\x1b\xff"), "\"a\\x0ab\\x1b\\xff\"");
  EXPECT_EQ(quote("abcdef", 3), "\"abc...\"");
  EXPECT_EQ(quote("abc", 3), "\"abc\"");
}

}  // namespace
}  // namespace flowdarts
