#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <flowdarts/spaces/support/error.hpp>
#include <flowdarts/stages/load/sampler.hpp>
#include <numeric>
#include <set>

#include "test_images.hpp"

namespace flowdarts {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::input_error;

std::vector<std::int64_t> ids_from(std::int64_t first, std::size_t count) {
  std::vector<std::int64_t> ids(count);
  std::iota(ids.begin(), ids.end(), first);
  return ids;
}

TEST(EpochOrder, IsAPermutationKeyedBySeedSplitAndPass) {
  const std::vector<std::int64_t> ids = ids_from(100, 500);
  std::set<std::vector<std::int64_t>> orders;
  for (const std::uint64_t seed : {1U, 2U}) {
    for (const Split split : all_splits) {
      for (const std::int64_t pass : {0, 1}) {
        std::vector<std::int64_t> order = epoch_order(ids, seed, split, pass);
        EXPECT_EQ(order, epoch_order(ids, seed, split, pass));
        orders.insert(order);
        std::ranges::sort(order);
        EXPECT_EQ(order, ids);
      }
    }
  }
  EXPECT_EQ(orders.size(), 8U);
}

// The values that were there before there were shards: without them an order must never change.
TEST(EpochOrder, OfDataWithoutShardsIsWhatItWas) {
  const std::vector<std::int64_t> ids = ids_from(0, 8);
  EXPECT_THAT(epoch_order(ids, 1, Split::train, 2), ElementsAre(6, 5, 0, 2, 3, 1, 4, 7));
  EXPECT_THAT(epoch_order(ids, 1, Split::val, 2), ElementsAre(4, 2, 6, 0, 3, 7, 1, 5));
}

// 40 shards of 25, of which pruning has left those ids that are no multiple of 3; shard 7 has lost all.
class ShardOrder : public ::testing::Test {
 protected:
  ShardOrder() {
    for (std::int64_t begin = 0; begin <= 1000; begin += 25) shards_.push_back(begin);
    for (std::int64_t id = 0; id < 1000; ++id) {
      if (id % 3 != 0 && id / 25 != 7) ids_.push_back(id);
    }
  }
  [[nodiscard]] std::vector<std::int64_t> order(std::int64_t buffer, std::uint64_t seed = 1, Split split = Split::train,
                                                std::int64_t pass = 0) const {
    return epoch_order(ids_, seed, split, pass, {shards_, buffer});
  }
  std::vector<std::int64_t> shards_, ids_;
};

TEST_F(ShardOrder, IsAPermutationKeyedBySeedSplitPassAndBuffer) {
  std::set<std::vector<std::int64_t>> orders;
  for (const std::int64_t buffer : {1, 64, 100000}) {
    for (const std::uint64_t seed : {1U, 2U}) {
      for (const Split split : all_splits) {
        for (const std::int64_t pass : {0, 1}) {
          std::vector<std::int64_t> found = order(buffer, seed, split, pass);
          EXPECT_EQ(found, order(buffer, seed, split, pass));
          orders.insert(found);
          std::ranges::sort(found);
          EXPECT_EQ(found, ids_);
        }
      }
    }
  }
  EXPECT_EQ(orders.size(), 24U);
}

TEST_F(ShardOrder, WithoutMixingReadsFileAfterFileFromFrontToBack) {
  const std::vector<std::int64_t> found = order(1);
  std::vector<std::int64_t> visited;
  for (std::size_t i = 0; i < found.size(); ++i) {
    const std::int64_t shard = found[i] / 25;
    if (visited.empty() || visited.back() != shard) {
      visited.push_back(shard);
    } else {
      EXPECT_LT(found[i - 1], found[i]);
    }
  }
  EXPECT_EQ(visited.size(), 39U);
  EXPECT_FALSE(std::ranges::is_sorted(visited));
}

TEST_F(ShardOrder, ABufferNeverTakesASampleBeforeItsTurn) {
  constexpr std::size_t buffer = 64;
  const std::vector<std::int64_t> read = order(1), mixed = order(buffer);
  std::size_t moved = 0;
  for (std::size_t place = 0; place < mixed.size(); ++place) {
    const auto turn = static_cast<std::size_t>(std::ranges::find(read, mixed[place]) - read.begin());
    EXPECT_LT(turn, place + buffer);
    moved += turn == place ? 0 : 1;
  }
  EXPECT_GT(moved, mixed.size() / 2);
}

TEST_F(ShardOrder, RefusesWhatCannotBe) {
  EXPECT_THAT(input_error([&] { (void)order(0); }), HasSubstr("shuffle buffer of 0 samples"));
  ids_.push_back(1000);
  EXPECT_THAT(input_error([&] { (void)order(5); }), HasSubstr("sample 1000 is in no shard, expected 0 to 999"));
}

TEST_F(ShardOrder, IsThatOfAnIterator) {
  PersistentIterator iterator(ids_, 7, 1, Split::val, {}, {shards_, 64});
  for (const std::int64_t pass : {0, 1}) {
    std::vector<std::int64_t> seen;
    for (std::int64_t i = 0; i < iterator.batches_per_pass(); ++i) {
      const PersistentIterator::Draw draw = iterator.next();
      seen.insert(seen.end(), draw.ids.begin(), draw.ids.end());
    }
    EXPECT_EQ(seen, order(64, 1, Split::val, pass));
  }
  PersistentIterator resumed(ids_, 7, 1, Split::val, iterator.state(), {shards_, 64});
  EXPECT_EQ(resumed.next().ids, iterator.next().ids);
}

TEST(PersistentIterator, SeesEveryIdOnceAPassInBatchesThatNeverSpanPasses) {
  const std::vector<std::int64_t> ids = ids_from(7, 103);
  PersistentIterator iterator(ids, 10, 3, Split::val);
  EXPECT_EQ(iterator.batches_per_pass(), 11);
  std::set<std::vector<std::int64_t>> orders;
  for (std::int64_t pass = 0; pass < 4; ++pass) {
    std::vector<std::int64_t> seen;
    for (std::int64_t index = 0; index < 11; ++index) {
      const PersistentIterator::Draw draw = iterator.next();
      EXPECT_EQ(draw.pass, pass);
      EXPECT_EQ(draw.index, index);
      EXPECT_EQ(draw.ids.size(), index == 10 ? 3U : 10U);
      seen.insert(seen.end(), draw.ids.begin(), draw.ids.end());
    }
    orders.insert(seen);
    std::ranges::sort(seen);
    EXPECT_EQ(seen, ids);
  }
  EXPECT_EQ(orders.size(), 4U);
}

TEST(PersistentIterator, ResumedFromAnyStateItGoesOnAsIfUnbroken) {
  const std::vector<std::int64_t> ids = ids_from(0, 37);
  PersistentIterator unbroken(ids, 8, 9, Split::val);
  for (int step = 0; step < 13; ++step) {
    PersistentIterator resumed(ids, 8, 9, Split::val, unbroken.state());
    PersistentIterator copy = unbroken;
    for (int i = 0; i < 12; ++i) {
      const PersistentIterator::Draw a = copy.next(), b = resumed.next();
      ASSERT_EQ(a.ids, b.ids);
      ASSERT_EQ(a.pass, b.pass);
      ASSERT_EQ(a.index, b.index);
    }
    EXPECT_EQ(copy.state(), resumed.state());
    (void)unbroken.next();
  }
}

TEST(PersistentIterator, ResetBeginsANewPassOverOtherIds) {
  PersistentIterator iterator(ids_from(0, 20), 8, 9, Split::val);
  (void)iterator.next();
  iterator.reset(ids_from(0, 10));
  std::vector<std::int64_t> seen;
  for (int i = 0; i < 2; ++i) {
    const PersistentIterator::Draw draw = iterator.next();
    EXPECT_EQ(draw.pass, 1);
    seen.insert(seen.end(), draw.ids.begin(), draw.ids.end());
  }
  std::ranges::sort(seen);
  EXPECT_EQ(seen, ids_from(0, 10));
}

TEST(PersistentIterator, RefusesWhatCannotBe) {
  EXPECT_THAT(input_error([] { PersistentIterator({}, 8, 1, Split::val); }), HasSubstr("no samples in val"));
  EXPECT_THAT(input_error([] { PersistentIterator({1}, 0, 1, Split::val); }), HasSubstr("batch size 0"));
  for (const PersistentIterator::State state : {PersistentIterator::State{0, 21}, PersistentIterator::State{0, 5},
                                                PersistentIterator::State{-1, 0}, PersistentIterator::State{0, -8}}) {
    EXPECT_THAT(input_error([&] { PersistentIterator(ids_from(0, 20), 8, 1, Split::train, state); }),
                HasSubstr("does not fit 20 samples of train in batches of 8"));
  }
}

}  // namespace
}  // namespace flowdarts
