#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <flowdarts/spaces/support/error.hpp>
#include <flowdarts/stages/load/dataset.hpp>
#include <flowdarts/stages/load/pickle.hpp>
#include <flowdarts/stages/load/read_file.hpp>

#include "test_images.hpp"

namespace flowdarts {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using testing::Bytes;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::input_error;
using testing::TemporaryDirectory;
using testing::write_file;

// Written by NumPy: `data` counts its bytes, modulo 256; the labels are those of the tests.
Bytes golden(const std::string& name) {
  return read_file(fs::path(FLOWDARTS_SOURCE_DIR) / "tests/stages/load/imagenet16" / (name + ".pickle"), 1U << 20U);
}

/// A literal with zeros in it.
template <std::size_t kSize>
std::string raw(const char (&text)[kSize]) {
  return {text, kSize - 1};
}

class ImageNet16 : public ::testing::Test {
 protected:
  void SetUp() override {
    for (int batch = 1; batch <= 10; ++batch) write(batch, golden("protocol4"));
  }
  void write(int batch, const Bytes& bytes) const {
    write_file(root_.path() / ("train_data_batch_" + std::to_string(batch)), bytes);
  }
  [[nodiscard]] std::shared_ptr<const Dataset> open(Part part = Part::train) const {
    return open_dataset({.kind = "imagenet16-120", .path = root_.path(), .part = part});
  }
  [[nodiscard]] std::string error() const {
    return input_error([&] { (void)open(); });
  }
  TemporaryDirectory root_;
};

TEST_F(ImageNet16, ReadsEveryProtocolAndKeepsTheFirstClasses) {
  write(1, golden("protocol2"));  // labels 1, 120, 121
  write(2, golden("protocol3"));
  write(3, golden("protocol5"));
  write(4, golden("array_labels"));   // 120, 7
  write(5, golden("scalar_labels"));  // 3, 4
  const auto dataset = open();
  EXPECT_EQ(dataset->size(), 20);
  EXPECT_EQ(dataset->classes(), 120);
  EXPECT_EQ(dataset->class_names().front(), "1");
  EXPECT_THAT(std::vector<std::int32_t>(dataset->labels().begin(), dataset->labels().begin() + 12),
              ElementsAre(0, 119, 0, 119, 0, 119, 119, 6, 2, 3, 0, 119));
  EXPECT_EQ(dataset->geometry().size, 16);
  EXPECT_TRUE(dataset->geometry().fixed);
  for (const std::int64_t id : {0, 1, 2, 4, 7, 9}) {
    Image image;
    dataset->decode(id, image);
    ASSERT_EQ(image.pixels.size(), 768U);
    // Channel by channel in the file: pixel p is p, 256 + p, 512 + p.
    for (std::size_t p = 0; p < 256; ++p) {
      for (std::size_t channel = 0; channel < 3; ++channel) {
        ASSERT_EQ(image.pixels[3 * p + channel], p % 256) << "image " << id << ", pixel " << p;
      }
    }
  }
}

TEST_F(ImageNet16, HasTestImagesOfItsOwn) {
  write_file(root_.path() / "val_data", golden("array_labels"));
  const auto dataset = open(Part::test);
  EXPECT_THAT(dataset->labels(), ElementsAre(119, 6));
  EXPECT_NE(dataset->fingerprint(), open()->fingerprint());
}

TEST_F(ImageNet16, NamesTheFileThatIsNoBatch) {
  fs::remove(root_.path() / "train_data_batch_7");
  EXPECT_THAT(error(), HasSubstr("train_data_batch_7"));
  const auto refuses = [&](const std::string& pickle, const std::string& reason) {
    write(7, Bytes(pickle.begin(), pickle.end()));
    EXPECT_THAT(error(), AllOf(HasSubstr("train_data_batch_7"), HasSubstr(reason)));
  };
  refuses("", "found the end of the file");
  refuses("\xff\xd8\xff", "pickle, byte 0: found opcode 255");
  refuses(raw("\x80\x02}."), "found no array data [N, 768]");
  // What pickles are feared for.
  refuses(raw("\x80\x02"
              "cos\nsystem\nX\x02\0\0\0ls\x85R."),
          "found a call of \"os system\"");
  Bytes labels = golden("protocol4");
  labels.resize(labels.size() / 2);
  refuses(std::string(labels.begin(), labels.end()), "found the end of the file");
  EXPECT_THAT(
      input_error([&] { (void)open_dataset({.kind = "imagenet16-120", .path = root_.path(), .image_size = 32}); }),
      HasSubstr("expected 16"));
}

TEST(Pickle, ReadsWhatPython2Wrote) {
  // {'a': 'bytes', 'b': [1, -2, 70000, 0.5, None, True, (3, 'x')]}, protocol 2.
  const std::string text =
      raw("\x80\x02}(U\x01"
          "aU\x05"
          "bytesU\x01"
          "b](K\x01J\xfe\xff\xff\xffJp\x11\x01\0G\x3f\xe0\0\0\0\0\0\0N\x88K\x03X\x01\0\0\0x\x86"
          "eu.");
  const pickle::Value value = pickle::parse(Bytes(text.begin(), text.end()), "file");
  ASSERT_NE(value.dict(), nullptr);
  EXPECT_EQ(std::get<std::string>(value.dict()->find("a")->data), "bytes");
  const pickle::List& list = *value.dict()->find("b")->list();
  ASSERT_EQ(list.size(), 7U);
  EXPECT_EQ(*list[0].integer(), 1);
  EXPECT_EQ(*list[1].integer(), -2);
  EXPECT_EQ(*list[2].integer(), 70000);
  EXPECT_EQ(std::get<double>(list[3].data), 0.5);
  EXPECT_TRUE(std::holds_alternative<std::monostate>(list[4].data));
  EXPECT_EQ(*list[5].integer(), 1);
  EXPECT_EQ(*list[6].list()->at(0).integer(), 3);
  EXPECT_EQ(value.dict()->find("c"), nullptr);
}

TEST(Pickle, RefusesEveryBeginningOfAFile) {
  for (const char* name : {"protocol2", "protocol5"}) {
    const Bytes whole = golden(name);
    for (std::size_t size = 0; size < whole.size(); size += size < 300 ? 1 : 37) {
      EXPECT_THROW((void)pickle::parse(std::span(whole).first(size), name), InputError) << size;
    }
  }
}

TEST(Pickle, DoesNotUnfoldTuplesOfTuplesWithoutEnd) {
  std::string text = raw("\x80\x02)q\0") + "0";
  for (int level = 0; level < 60; ++level) text += raw("h\0h\0\x86q\0") + "0";
  text += raw("h\0.");
  EXPECT_THAT(input_error([&] { (void)pickle::parse(Bytes(text.begin(), text.end()), "file"); }),
              HasSubstr("nested too deeply"));
}

}  // namespace
}  // namespace flowdarts
