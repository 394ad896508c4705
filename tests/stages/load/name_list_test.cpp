#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <flowdarts/stages/load/name_list.hpp>
#include <string>

namespace flowdarts {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(NameList, KeepsNamesApartWhateverTheyHold) {
  NameList names;
  const std::string with_nul("a\0b", 3);
  for (const std::string& name : {std::string("ant/1.jpg"), std::string(), with_nul, std::string("\n")})
    names.add(name);
  ASSERT_EQ(names.size(), 4U);
  EXPECT_EQ(names[0], "ant/1.jpg");
  EXPECT_EQ(names[1], "");
  EXPECT_EQ(names[2], with_nul);
  EXPECT_EQ(names[3], "\n");
}

TEST(RepeatedNames, AreTheLaterPlacesInOrder) {
  NameList names;
  EXPECT_THAT(repeated_names(names), IsEmpty());
  for (const char* name : {"b", "a", "c", "a", "ab", "b", "a", ""}) names.add(name);
  EXPECT_THAT(repeated_names(names), ElementsAre(3U, 5U, 6U));
}

}  // namespace
}  // namespace flowdarts
