#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <unistd.h>
#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <flowdarts/pipeline/search_data.hpp>
#include <flowdarts/spaces/support/error.hpp>
#include <fstream>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace flowdarts {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Four 1 x 1 images of two classes, binary PNGs without need of an encoder, and lists of three of them.
class ListedData : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const char* image : {"a/1.png", "a/2.png", "b/1.png", "b/2.png"}) {
      const fs::path file = root_ / "data" / image;
      fs::create_directories(file.parent_path());
      fs::copy_file(fs::path(FLOWDARTS_SOURCE_DIR) / "tests/pipeline/one_pixel.png", file);
    }
    fs::create_directories(root_ / "lists");
    std::ofstream(root_ / "lists/classes.txt") << "a\nb\n";
    std::ofstream(root_ / "lists/train.txt") << "b/2.png\na/1.png\n";
    std::ofstream(root_ / "lists/val.txt") << "b/1.png\n";
    options_.dataset.value = DatasetKind::folder;
    options_.data.value = (root_ / "data").string();
    options_.lists.value = (root_ / "lists").string();
    options_.padding.value = 0;
  }
  void TearDown() override { fs::remove_all(root_); }
  void expect_refused(const std::string& option) const {
    try {
      open_search_data(options_, 1);
      FAIL() << "expected that " << option << " is refused";
    } catch (const InputError& error) {
      EXPECT_THAT(error.what(), HasSubstr(option));
    }
  }

  fs::path root_ = fs::temp_directory_path() / ("flowdarts_listed_data_" + std::to_string(getpid()));
  DataOptions options_;
};

TEST_F(ListedData, AreTAndVAsTheListsHaveThem) {
  const SearchData data = open_search_data(options_, 1);
  EXPECT_EQ(data.dataset->size(), 3);
  EXPECT_THAT(data.lists.train, ElementsAre(0, 1));
  EXPECT_THAT(data.lists.val, ElementsAre(2));
  EXPECT_THAT(data.dataset->labels(), ElementsAre(1, 0, 1));
}

TEST_F(ListedData, RefuseOptionsThatChooseOnceMore) {
  options_.limit_samples.value = 2;
  expect_refused("--limit-samples");
  options_.limit_samples.value = 0;
  options_.split.value = SplitKind::canonical;
  expect_refused("--split");
  options_.split.value = SplitKind::automatic;
  options_.train_portion.value = 0.8;
  expect_refused("--train-portion");
  options_.train_portion.value = 0.5;
  options_.val_portion.value = 0.1;
  expect_refused("--val-portion");
  options_.val_portion.value = 0;
  options_.dataset.value = DatasetKind::cifar10;
  expect_refused("--lists");
}

TEST_F(ListedData, MayBePartsOfEachClass) {
  for (int i = 3; i <= 40; ++i) {
    for (const char* name : {"a", "b"}) {
      fs::copy_file(root_ / "data/a/1.png", root_ / "data" / name / (std::to_string(i) + ".png"));
    }
  }
  options_.lists.value = "";
  options_.train_portion.value = 0.1;
  options_.val_portion.value = 0.025;
  const SearchData data = open_search_data(options_, 1);
  EXPECT_EQ(data.dataset->size(), 80);
  EXPECT_THAT(class_counts(data.lists.train, *data.dataset), ElementsAre(4, 4));
  EXPECT_THAT(class_counts(data.lists.val, *data.dataset), ElementsAre(1, 1));

  options_.split.value = SplitKind::canonical;
  expect_refused("--val-portion: found 0.025");
  options_.split.value = SplitKind::stratified;
  options_.train_portion.value = 0.99;
  expect_refused("0.99");
}

TEST_F(ListedData, AreJitteredAsTheOptionsSay) {
  options_.jitter_brightness.value = 0.4;
  options_.jitter_hue.value = 0.2;
  const LoadOptions load = load_options(options_);
  EXPECT_EQ(load.jitter.brightness, 0.4);
  EXPECT_EQ(load.jitter.contrast, 0);
  EXPECT_EQ(load.jitter.saturation, 0);
  EXPECT_EQ(load.jitter.hue, 0.2);
}

TEST(PlanOfAnEpoch, ReadsShardsFileAfterFileForTAndV) {
  const std::vector<std::int64_t> shards{0, 10, 20, 30, 40};
  PlanRequest request;
  auto lists = std::make_shared<SampleLists>();
  for (std::int64_t id = 0; id < 40; ++id) (*lists)[id % 2 == 0 ? Split::train : Split::val].push_back(id);
  request.lists = lists;
  const EpochPlan plan = plan_epoch(request, 5, 1, /*with_val=*/true, {shards, 1});
  ASSERT_EQ(plan.train_batches.size(), 4U);
  ASSERT_EQ(plan.val_batches.size(), 4U);
  std::set<std::int64_t> read;
  for (std::size_t step = 0; step < 4; ++step) {  // each shard has five samples of T and five of V
    for (const auto& ids : {plan.train_batches[step], plan.val_batches[step].ids}) {
      EXPECT_TRUE(std::ranges::is_sorted(ids));
      EXPECT_EQ(ids.front() / 10, ids.back() / 10);
      read.insert(ids.begin(), ids.end());
    }
  }
  EXPECT_EQ(read.size(), 40U);
  EXPECT_EQ(plan_epoch(request, 5, 1, true, {shards, 1}).train_batches, plan.train_batches);
  EXPECT_NE(plan_epoch(request, 5, 1, true, {shards, 20}).train_batches, plan.train_batches);
}

}  // namespace
}  // namespace flowdarts
