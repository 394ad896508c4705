#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <unistd.h>
#include <filesystem>
#include <flowdarts/pipeline/search_data.hpp>
#include <flowdarts/spaces/support/error.hpp>
#include <fstream>
#include <string>

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
  options_.dataset.value = DatasetKind::cifar10;
  expect_refused("--lists");
}

}  // namespace
}  // namespace flowdarts
