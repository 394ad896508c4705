#include <gtest/gtest.h>

#include <flowdarts/stages/ranks/share.hpp>

namespace flowdarts {
namespace {

TEST(Share, PartsTileTheWholeAndDifferByOneAtMost) {
  for (const int ranks : {1, 2, 3, 7}) {
    for (std::size_t size = static_cast<std::size_t>(ranks); size < 50; ++size) {
      std::size_t end = 0;
      for (int rank = 0; rank < ranks; ++rank) {
        const Share share = share_of(size, rank, ranks);
        EXPECT_EQ(share.begin, end);
        EXPECT_FALSE(share.everything);
        EXPECT_GE(share.size(), size / static_cast<std::size_t>(ranks));
        EXPECT_LE(share.size(), size / static_cast<std::size_t>(ranks) + 1);
        end = share.end;
      }
      EXPECT_EQ(end, size);
    }
  }
}

TEST(Share, OfFewerThingsThanRanksEachHasAll) {
  for (int rank = 0; rank < 4; ++rank) {
    const Share share = share_of(3, rank, 4);
    EXPECT_EQ(share.begin, 0U);
    EXPECT_EQ(share.end, 3U);
    EXPECT_TRUE(share.everything);
  }
}

}  // namespace
}  // namespace flowdarts
