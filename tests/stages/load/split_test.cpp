#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <flowdarts/spaces/support/error.hpp>
#include <flowdarts/stages/load/split.hpp>
#include <numeric>

#include "test_images.hpp"

namespace flowdarts {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::input_error;

struct Labelled {
  std::vector<std::int64_t> ids;
  std::vector<std::int32_t> labels;
};

// Class c has sizes[c] samples, in order of class.
Labelled by_class(const std::vector<int>& sizes) {
  Labelled samples;
  for (std::size_t c = 0; c < sizes.size(); ++c) {
    samples.labels.insert(samples.labels.end(), static_cast<std::size_t>(sizes[c]), static_cast<std::int32_t>(c));
  }
  samples.ids.resize(samples.labels.size());
  std::iota(samples.ids.begin(), samples.ids.end(), 0);
  return samples;
}

std::vector<int> class_sizes(const std::vector<std::int64_t>& ids, const std::vector<std::int32_t>& labels,
                             int classes) {
  std::vector<int> sizes(static_cast<std::size_t>(classes), 0);
  for (const std::int64_t id : ids) ++sizes[static_cast<std::size_t>(labels[static_cast<std::size_t>(id)])];
  return sizes;
}

void expect_partition(const SplitLists& lists, const std::vector<std::int64_t>& ids) {
  EXPECT_TRUE(std::ranges::is_sorted(lists.train));
  EXPECT_TRUE(std::ranges::is_sorted(lists.val));
  std::vector<std::int64_t> all;
  std::ranges::merge(lists.train, lists.val, std::back_inserter(all));
  EXPECT_EQ(all, ids);  // ids are distinct, so this says disjoint too
}

TEST(CanonicalSplit, TakesTheFirstPart) {
  const Labelled samples = by_class({50000});
  const SplitLists lists = canonical_split(samples.ids, 0.5);
  EXPECT_EQ(lists.train.front(), 0);
  EXPECT_EQ(lists.train.back(), 24999);
  EXPECT_EQ(lists.val.front(), 25000);
  EXPECT_EQ(lists.val.back(), 49999);
  expect_partition(lists, samples.ids);
  EXPECT_EQ(canonical_split(std::vector<std::int64_t>{2, 4, 9}, 0.5).train, (std::vector<std::int64_t>{2, 4}));
}

TEST(StratifiedSplit, DividesEveryClassAndIsReproducible) {
  const Labelled samples = by_class({100, 31, 0, 60});
  const SplitLists lists = stratified_split(samples.ids, samples.labels, 4, 0.8, 5);
  expect_partition(lists, samples.ids);
  EXPECT_THAT(class_sizes(lists.train, samples.labels, 4), ElementsAre(80, 25, 0, 48));
  EXPECT_EQ(stratified_split(samples.ids, samples.labels, 4, 0.8, 5).train, lists.train);
  EXPECT_NE(stratified_split(samples.ids, samples.labels, 4, 0.8, 6).train, lists.train);
}

TEST(StratifiedParts, TakesASmallPartOfEachClass) {
  const Labelled samples = by_class({1300, 732, 41});  // 10 % and 2.5 %, PC-DARTS' parts of ImageNet
  const SplitLists lists = stratified_parts(samples.ids, samples.labels, 3, 0.10, 0.025, 5);
  EXPECT_THAT(class_sizes(lists.train, samples.labels, 3), ElementsAre(130, 73, 4));
  EXPECT_THAT(class_sizes(lists.val, samples.labels, 3), ElementsAre(33, 18, 1));
  std::vector<std::int64_t> both;
  std::ranges::set_intersection(lists.train, lists.val, std::back_inserter(both));
  EXPECT_TRUE(both.empty());
  EXPECT_TRUE(std::ranges::is_sorted(lists.train));
  EXPECT_TRUE(std::ranges::is_sorted(lists.val));
  EXPECT_EQ(stratified_parts(samples.ids, samples.labels, 3, 0.10, 0.025, 5).val, lists.val);
  EXPECT_NE(stratified_parts(samples.ids, samples.labels, 3, 0.10, 0.025, 6).val, lists.val);
  // Portions that make up a whole leave nothing out: 3 halves are 2, and 1 is left.
  const Labelled odd = by_class({3, 5});
  expect_partition(stratified_parts(odd.ids, odd.labels, 2, 0.5, 0.5, 1), odd.ids);
}

TEST(StratifiedParts, RefusesBadPortionsAndClassesWithoutASample) {
  const Labelled samples = by_class({40, 3});
  for (const auto& [train, val] : {std::pair{0.0, 0.5}, {0.5, 0.0}, {0.8, 0.3}, {std::nan(""), 0.1}, {-0.1, 0.1}}) {
    EXPECT_THAT(input_error([&, train = train, val = val] {
                  (void)stratified_parts(samples.ids, samples.labels, 2, train, val, 1);
                }),
                HasSubstr("expected both above 0"));
  }
  EXPECT_THAT(input_error([&] { (void)stratified_parts(samples.ids, samples.labels, 2, 0.5, 0.1, 1); }),
              HasSubstr("of the 3 samples of class 1"));
}

TEST(Splits, RefuseBadPortionsAndEmptyParts) {
  const Labelled samples = by_class({3});
  for (const double portion : {0.0, 1.0, -0.1, 1.5, std::nan("")}) {
    EXPECT_THAT(input_error([&] { (void)canonical_split(samples.ids, portion); }), HasSubstr("split portion"));
    EXPECT_THAT(input_error([&] { (void)stratified_split(samples.ids, samples.labels, 1, portion, 1); }),
                HasSubstr("split portion"));
  }
  EXPECT_THAT(input_error([&] { (void)canonical_split(samples.ids, 0.1); }), HasSubstr("leaves one part empty"));
  EXPECT_THAT(input_error([&] { (void)stratified_split(samples.ids, samples.labels, 1, 0.9, 1); }),
              HasSubstr("of 3 samples, each class divided by itself, leaves one part empty"));
}

TEST(LimitSamples, BalancesClassesAndRefillsFromThoseThatHaveMore) {
  const Labelled samples = by_class({100, 3, 50});
  const auto sizes = [&](std::int64_t n) {
    const std::vector<std::int64_t> kept = limit_samples(samples.ids, samples.labels, 3, n, 1);
    EXPECT_TRUE(std::ranges::is_sorted(kept));
    EXPECT_EQ(std::ranges::adjacent_find(kept), kept.end());
    return class_sizes(kept, samples.labels, 3);
  };
  EXPECT_THAT(sizes(6), ElementsAre(2, 2, 2));
  EXPECT_THAT(sizes(8), ElementsAre(3, 3, 2));
  EXPECT_THAT(sizes(24), ElementsAre(11, 3, 10));
  EXPECT_THAT(sizes(120), ElementsAre(67, 3, 50));
  EXPECT_THAT(sizes(1000), ElementsAre(100, 3, 50));
  EXPECT_EQ(limit_samples(samples.ids, samples.labels, 3, 40, 1), limit_samples(samples.ids, samples.labels, 3, 40, 1));
  EXPECT_NE(limit_samples(samples.ids, samples.labels, 3, 40, 1), limit_samples(samples.ids, samples.labels, 3, 40, 2));
  EXPECT_THAT(input_error([&] { (void)limit_samples(samples.ids, samples.labels, 3, 0, 1); }), HasSubstr("limit of 0"));
}

}  // namespace
}  // namespace flowdarts
