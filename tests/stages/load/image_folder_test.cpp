#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <flowdarts/spaces/support/error.hpp>
#include <flowdarts/stages/load/image_folder.hpp>

#include "test_images.hpp"

namespace flowdarts {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using testing::Bytes;
using ::testing::ElementsAre;
using testing::encode_jpeg;
using testing::encode_png;
using ::testing::HasSubstr;
using testing::input_error;
using testing::pattern;
using testing::TemporaryDirectory;
using testing::write_file;

Bytes small_jpeg(int side = 16) {
  return encode_jpeg(pattern(side, side, 3), side, side);
}
Bytes small_png(int side = 16) {
  return encode_png(pattern(side, side, 3), side, side);
}

auto open_folder(const fs::path& path, bool skip_corrupt = false, int image_size = 0) {
  return open_dataset({.kind = "folder", .path = path, .skip_corrupt = skip_corrupt, .image_size = image_size});
}

std::string open_error(const fs::path& path) {
  return input_error([&] { (void)open_folder(path); });
}

TEST(ImageFolder, SortsClassesAndFilesAndGoesByContent) {
  const TemporaryDirectory root;
  write_file(root.path() / "zebra" / "b.JPEG", small_png());  // ImageNet has a PNG with such a name
  write_file(root.path() / "zebra" / "a.png", small_jpeg());
  write_file(root.path() / "Ant" / "x.jpg", small_jpeg());
  write_file(root.path() / "ant" / "x.PNG", small_png());
  write_file(root.path() / "ant" / "Thumbs.db", Bytes{1, 2, 3});
  write_file(root.path() / "ant" / ".hidden.jpg", Bytes{});
  write_file(root.path() / "readme.txt", Bytes{'x'});
  fs::create_directory(root.path() / ".cache");
  const auto dataset = open_folder(root.path());
  EXPECT_THAT(dataset->class_names(), ElementsAre("Ant", "ant", "zebra"));
  EXPECT_THAT(dataset->labels(), ElementsAre(0, 1, 2, 2));
  EXPECT_EQ(dataset->geometry().size, 16);
  EXPECT_TRUE(dataset->geometry().fixed);
  Image png, jpeg;
  dataset->decode(3, png);
  dataset->decode(2, jpeg);
  EXPECT_EQ(png.pixels, pattern(16, 16, 3));
  EXPECT_NE(jpeg.pixels, pattern(16, 16, 3));
  EXPECT_EQ(jpeg.pixels.size(), 768U);
}

TEST(ImageFolder, SizeFollowsTheFirstImageUnlessGiven) {
  const TemporaryDirectory root;
  const fs::path first = root.path() / "c" / "1.png";
  const auto geometry = [&](int side, int size) {
    write_file(first, small_png(side));
    const ImageGeometry found = open_folder(root.path(), false, size)->geometry();
    return std::pair(found.size, found.fixed);
  };
  EXPECT_EQ(geometry(64, 0), std::pair(64, true));
  EXPECT_EQ(geometry(65, 0), std::pair(224, false));
  EXPECT_EQ(geometry(65, 48), std::pair(48, false));
  EXPECT_EQ(geometry(32, 32), std::pair(32, true));
  EXPECT_EQ(geometry(32, 24), std::pair(24, false));
}

TEST(ImageFolder, AnImageOfAnotherSizeIsRefusedWhereSizesAreFixed) {
  const TemporaryDirectory root;
  write_file(root.path() / "c" / "1.png", small_png(16));
  write_file(root.path() / "c" / "2.png", small_png(17));
  const auto dataset = open_folder(root.path());
  Image image;
  EXPECT_THAT(input_error([&] { dataset->decode(1, image); }),
              AllOf(HasSubstr("2.png: image of 17 x 17"), HasSubstr("expected 16 x 16")));
}

TEST(ImageFolder, RefusesBrokenLayoutsNamingThem) {
  const TemporaryDirectory root;
  const fs::path good = root.path() / "good";
  EXPECT_THAT(open_error(root.path() / "missing"), HasSubstr("missing: is not a folder"));
  EXPECT_THAT(open_error(root.path()), HasSubstr("no class folder with images"));
  write_file(good / "1.jpg", small_jpeg());
  (void)open_folder(root.path());

  const auto error_with = [&](const fs::path& broken) {
    const std::string line = open_error(root.path());
    fs::remove_all(broken);
    return line;
  };
  write_file(root.path() / "stray.jpg", small_jpeg());
  EXPECT_THAT(error_with(root.path() / "stray.jpg"), HasSubstr("stray.jpg: is an image outside a class folder"));
  fs::create_directory(root.path() / "empty");
  EXPECT_THAT(error_with(root.path() / "empty"), HasSubstr("empty: class folder without JPEG or PNG"));
  fs::create_symlink("loop", root.path() / "loop");
  EXPECT_THAT(error_with(root.path() / "loop"), HasSubstr("loop: cannot be read: Too many levels of symbolic links"));
  fs::create_directory_symlink("..", good / "up");  // never followed: folders inside a class folder are not entered
  fs::create_directory_symlink(root.path(), root.path() / "self");
  EXPECT_THAT(error_with(root.path() / "self"), HasSubstr("self: class folder without JPEG or PNG"));
  fs::create_symlink("a.jpg", good / "b.jpg");
  fs::create_symlink("b.jpg", good / "a.jpg");
  EXPECT_THAT(error_with(good / "a.jpg"), HasSubstr("a.jpg: cannot be read: Too many levels"));
  EXPECT_THAT(error_with(good / "b.jpg"), HasSubstr("b.jpg: cannot be read: "));  // leads nowhere now
  fs::create_directory(good / "folder.jpg");
  EXPECT_THAT(error_with(good / "folder.jpg"), HasSubstr("folder.jpg: is not a regular file"));
  ASSERT_EQ(mkfifo((good / "pipe.png").c_str(), 0600), 0);
  EXPECT_THAT(error_with(good / "pipe.png"), HasSubstr("pipe.png: is not a regular file"));
  write_file(good / "0.jpg", Bytes{});
  EXPECT_THAT(error_with(good / "0.jpg"), HasSubstr("0.jpg: empty file"));
  write_file(good / "0\n.jpg", Bytes{});
  EXPECT_THAT(error_with(good / "0\n.jpg"), HasSubstr("0?.jpg: empty file"));
  EXPECT_THAT(input_error([&] { (void)open_dataset({.kind = "folder", .path = root.path(), .part = Part::test}); }),
              HasSubstr("no test part"));
  (void)open_folder(root.path());
}

TEST(ImageFolder, AnUnreadableFileIsNamed) {
  if (geteuid() == 0) GTEST_SKIP() << "root can read everything";
  const TemporaryDirectory root;
  write_file(root.path() / "c" / "1.jpg", small_jpeg());
  fs::permissions(root.path() / "c" / "1.jpg", fs::perms::none);
  EXPECT_THAT(open_error(root.path()), HasSubstr("1.jpg: cannot be read: Permission denied"));
}

TEST(ImageFolder, SkipsWhatCannotBeRead) {
  const TemporaryDirectory root;
  write_file(root.path() / "a" / "0.jpg", Bytes{});  // empty: met again, and counted, when it is loaded
  write_file(root.path() / "a" / "1.jpg", small_jpeg());
  fs::create_symlink("2.jpg", root.path() / "a" / "2.jpg");
  fs::create_directory(root.path() / "empty");
  const auto dataset = open_folder(root.path(), true);
  EXPECT_THAT(dataset->class_names(), ElementsAre("a"));
  EXPECT_EQ(dataset->size(), 2);
  EXPECT_EQ(dataset->geometry().size, 16);
  EXPECT_THAT(dataset->skipped(), ElementsAre(HasSubstr("2.jpg"), HasSubstr("empty: class folder without")));

  write_file(root.path() / "a" / "1.jpg", Bytes{1, 2, 3});
  EXPECT_THAT(input_error([&] { (void)open_folder(root.path(), true); }),
              HasSubstr("none of the 2 images can be decoded"));
}

TEST(ImageFolder, FingerprintFollowsNames) {
  const TemporaryDirectory root;
  write_file(root.path() / "a" / "1.png", small_png());
  const std::uint64_t original = open_folder(root.path())->fingerprint();
  EXPECT_EQ(open_folder(root.path())->fingerprint(), original);
  fs::rename(root.path() / "a" / "1.png", root.path() / "a" / "2.png");
  EXPECT_NE(open_folder(root.path())->fingerprint(), original);
  fs::rename(root.path() / "a" / "2.png", root.path() / "a" / "1.png");
  EXPECT_EQ(open_folder(root.path())->fingerprint(), original);
  fs::rename(root.path() / "a", root.path() / "b");
  EXPECT_NE(open_folder(root.path())->fingerprint(), original);
}

}  // namespace
}  // namespace flowdarts
