#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <flowdarts/spaces/support/error.hpp>
#include <flowdarts/stages/load/dataset.hpp>
#include <flowdarts/stages/load/image_lists.hpp>

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
  EXPECT_EQ(read.train[0].path, "bee/c d.png");
  EXPECT_EQ(read.train[1].label, 1);
  EXPECT_EQ(read.val[0].path, "ant/a.png");
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

TEST_F(Lists, MissingImagesEndOrAreLeftOut) {
  fs::remove(data() / "ant" / "b.png");
  EXPECT_THAT(input_error([&] { (void)open(); }), AllOf(HasSubstr("b.png"), HasSubstr("is listed, but")));
  const auto dataset = open(/*skip_corrupt=*/true);
  EXPECT_EQ(dataset->size(), 2);
  EXPECT_THAT(dataset->skipped(), ElementsAre(HasSubstr("b.png")));
  EXPECT_THAT(dataset->listed_split()->train, ElementsAre(0));
  EXPECT_THAT(dataset->listed_split()->val, ElementsAre(1));
  fs::remove(data() / "ant" / "a.png");
  EXPECT_THAT(input_error([&] { (void)open(true); }), HasSubstr("none of the images of val.txt"));
}

TEST_F(Lists, AreOfFolders) {
  EXPECT_THAT(input_error([&] { (void)open_dataset({.kind = "cifar10", .path = data(), .lists = lists()}); }),
              HasSubstr("expected folder"));
}

}  // namespace
}  // namespace flowdarts
