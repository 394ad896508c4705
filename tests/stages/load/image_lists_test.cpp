#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <flowdarts/spaces/support/error.hpp>
#include <flowdarts/stages/load/dataset.hpp>
#include <flowdarts/stages/load/image_lists.hpp>
#include <flowdarts/stages/load/sampler.hpp>
#include <fstream>
#include <iostream>
#include <stdexcept>

#include "test_images.hpp"

namespace flowdarts {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using testing::Bytes;
using ::testing::ElementsAre;
using testing::encode_png;
using ::testing::HasSubstr;
using testing::input_error;
using testing::pattern;
using testing::TemporaryDirectory;
using testing::write_file;

Bytes bytes_of(const std::string& text) {
  return {text.begin(), text.end()};
}

// Three images of two classes, and lists of them.
class Lists : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const char* image : {"ant/a.png", "ant/b.png", "bee/c d.png"}) {
      write_file(data() / image, encode_png(pattern(8, 8, 3), 8, 8));
    }
    write("bee\nant\n", "bee/c d.png\nant/b.png\n", "ant/a.png\n");
  }
  void write(const std::string& classes, const std::string& train, const std::string& val) const {
    write_file(lists() / classes_list, bytes_of(classes));
    write_file(lists() / train_list, bytes_of(train));
    write_file(lists() / val_list, bytes_of(val));
  }
  [[nodiscard]] std::string error() const {
    return input_error([&] { (void)read_image_lists(lists()); });
  }
  [[nodiscard]] std::shared_ptr<const Dataset> open(bool skip_corrupt = false) const {
    return open_dataset({.kind = "folder", .path = data(), .skip_corrupt = skip_corrupt, .lists = lists()});
  }
  [[nodiscard]] fs::path data() const { return root_.path() / "data"; }
  [[nodiscard]] fs::path lists() const { return root_.path() / "lists"; }

 private:
  TemporaryDirectory root_;
};

TEST_F(Lists, SayTheImagesTheirClassesAndTheSplit) {
  const auto dataset = open();
  EXPECT_THAT(dataset->class_names(), ElementsAre("bee", "ant"));
  EXPECT_THAT(dataset->labels(), ElementsAre(0, 1, 1));
  ASSERT_TRUE(dataset->listed_split().has_value());
  EXPECT_THAT(dataset->listed_split()->train, ElementsAre(0, 1));
  EXPECT_THAT(dataset->listed_split()->val, ElementsAre(2));
  Image image;
  dataset->decode(0, image);
  EXPECT_EQ(image.pixels, pattern(8, 8, 3));
}

TEST_F(Lists, AreDataOfTheirOwn) {
  const std::uint64_t before = open()->fingerprint();
  EXPECT_EQ(open()->fingerprint(), before);
  write("bee\nant\n", "bee/c d.png\nant/a.png\n", "ant/b.png\n");
  EXPECT_NE(open()->fingerprint(), before);
  write("bee\nant\n", "bee/c d.png\nant/b.png\nant/a.png\n", "bee/x.png\n");
  fs::copy(data() / "ant" / "a.png", data() / "bee" / "x.png");
  const std::uint64_t longer = open()->fingerprint();
  write("bee\nant\n", "bee/c d.png\nant/b.png\n", "ant/a.png\nbee/x.png\n");  // the same images, another cut
  EXPECT_NE(open()->fingerprint(), longer);
}

TEST_F(Lists, MayEndAsInDosOrWithoutALineBreak) {
  write("bee\r\nant", "bee/c d.png\r\nant/b.png", "ant/a.png\r\n");
  const ImageLists read = read_image_lists(lists());
  EXPECT_THAT(read.classes, ElementsAre("bee", "ant"));
  ASSERT_EQ(read.images.size(), 3U);
  EXPECT_EQ(read.train, 2U);
  EXPECT_EQ(read.images[0], "bee/c d.png");
  EXPECT_EQ(read.images[2], "ant/a.png");
  EXPECT_THAT(read.labels, ElementsAre(0, 1, 1));
}

TEST_F(Lists, NameFileAndLineOfWhatIsWrong) {
  write("bee\nant\n", "bee/c d.png\nwasp/b.png\n", "ant/a.png\n");
  EXPECT_THAT(error(), AllOf(HasSubstr("train.txt: line 2"), HasSubstr("\"wasp/b.png\""), HasSubstr("CLASS/FILE")));
  for (const char* path : {"ant", "ant/", "/ant/b.png", "ant/../b.png", "", "ant/x/b.png"}) {
    write("bee\nant\n", "bee/c d.png\n" + std::string(path) + "\n", "ant/a.png\n");
    EXPECT_THAT(error(), HasSubstr("train.txt: line 2: found")) << path;
  }
  write("bee\nant\n", "bee/c d.png\nant/b.png\n", "ant/b.png\n");
  EXPECT_THAT(error(), AllOf(HasSubstr("val.txt: line 1"), HasSubstr("once more")));
  write("bee\nbee\n", "bee/c d.png\n", "ant/a.png\n");
  EXPECT_THAT(error(), AllOf(HasSubstr("classes.txt: line 2"), HasSubstr("once more")));
  write("bee\nant\n", "bee/c d.png\n", "ant/a.png\n");
  EXPECT_THAT(error(), AllOf(HasSubstr("train.txt"), HasSubstr("no image of the class \"ant\"")));
  write("bee\nant\n", "", "ant/a.png\n");
  EXPECT_THAT(error(), HasSubstr("train.txt: is empty"));
  fs::remove(lists() / val_list);
  write_file(lists() / train_list, bytes_of("bee/c d.png\nant/b.png\n"));
  EXPECT_THAT(error(), HasSubstr("val.txt"));
}

TEST_F(Lists, AMissingImageIsFoundWhenItIsRead) {
  fs::remove(data() / "ant" / "b.png");
  const auto dataset = open();
  EXPECT_EQ(dataset->size(), 3);
  Image image;
  EXPECT_THAT(input_error([&] { dataset->decode(1, image); }), HasSubstr("b.png: cannot be read"));
  fs::remove(data() / "bee" / "c d.png");  // the first one says the size of the images
  EXPECT_THAT(input_error([&] { (void)open(); }), HasSubstr("c d.png: cannot be read"));
  EXPECT_EQ(open(/*skip_corrupt=*/true)->geometry().size, 8);
  fs::remove(data() / "ant" / "a.png");
  EXPECT_THAT(input_error([&] { (void)open(true); }), HasSubstr("none of the 3 images can be decoded"));
}

/// Bytes of memory that this process holds, and the most it has held.
std::int64_t resident_bytes(const char* field) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(field)) return std::stoll(line.substr(line.find_first_of("0123456789"))) * 1024;
  }
  throw std::runtime_error(std::string("no ") + field + " in /proc/self/status");
}

TEST_F(Lists, AMillionImagesTakeLittleMemory) {
  constexpr int classes = 1000, of_class = 1000, of_train = 800;
  std::string names, train, val;
  for (int c = 0; c < classes; ++c) {
    const std::string name = "n" + std::to_string(10000000 + c);
    names += name + "\n";
    for (int i = 0; i < of_class; ++i) {
      (i < of_train ? train : val) += name + "/" + name + "_" + std::to_string(i) + ".JPEG\n";
    }
  }
  write(names, train, val);
  // Only the first image is there: no other is looked at.
  fs::create_directories(data() / "n10000000");
  fs::copy(data() / "ant" / "a.png", data() / "n10000000" / "n10000000_0.JPEG");
  for (std::string* text : {&names, &train, &val}) std::string().swap(*text);

  std::ofstream("/proc/self/clear_refs") << "5";  // the peak so far is forgotten
  const std::int64_t before = resident_bytes("VmRSS");
  const auto start = std::chrono::steady_clock::now();
  const auto dataset = open();
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  const SplitLists& split = *dataset->listed_split();
  const std::vector<std::int64_t> order = epoch_order(split.train, 1, Split::train, 0);
  const std::int64_t held = resident_bytes("VmRSS") - before, peak = resident_bytes("VmHWM") - before;
  std::cout << "opened in " << seconds.count() << " s; holds " << held / 1000000 << " MB, at most " << peak / 1000000
            << " MB\n";
  EXPECT_EQ(dataset->size(), classes * of_class);
  EXPECT_EQ(order.size(), split.train.size());
  EXPECT_EQ(split.val.size(), std::size_t{classes} * (of_class - of_train));
  EXPECT_LT(peak, 200'000'000);
}

TEST_F(Lists, AreOfFolders) {
  EXPECT_THAT(input_error([&] { (void)open_dataset({.kind = "cifar10", .path = data(), .lists = lists()}); }),
              HasSubstr("expected folder"));
}

}  // namespace
}  // namespace flowdarts
