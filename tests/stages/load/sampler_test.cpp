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
