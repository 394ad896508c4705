// CIFAR and IDX: byte-exact files, and what broken ones are told.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <flowdarts/spaces/support/error.hpp>
#include <flowdarts/stages/load/dataset.hpp>

#include "test_images.hpp"

namespace flowdarts {
namespace {

using ::testing::AllOf;
using testing::Bytes;
using ::testing::HasSubstr;
using testing::input_error;
using testing::TemporaryDirectory;
using testing::write_file;

// Record i of a CIFAR file: pixel p of channel c is (7 i + 3 p + 50 c) mod 256.
Bytes cifar_records(const std::vector<Bytes>& labels) {
  Bytes bytes;
  for (std::size_t i = 0; i < labels.size(); ++i) {
    bytes.insert(bytes.end(), labels[i].begin(), labels[i].end());
    for (std::size_t c = 0; c < 3; ++c) {
      for (std::size_t p = 0; p < 1024; ++p) bytes.push_back(static_cast<std::uint8_t>(7 * i + 3 * p + 50 * c));
    }
  }
  return bytes;
}

void write_cifar10(const std::filesystem::path& directory) {
  for (std::uint8_t batch = 1; batch <= 5; ++batch) {
    write_file(directory / ("data_batch_" + std::to_string(batch) + ".bin"),
               cifar_records({{batch}, {static_cast<std::uint8_t>(batch + 4)}}));
  }
  write_file(directory / "test_batch.bin", cifar_records({{3}}));
}

Bytes idx(std::uint8_t dimensions, const std::vector<std::uint32_t>& sizes, const Bytes& values) {
  Bytes bytes{0, 0, 8, dimensions};
  for (const std::uint32_t size : sizes) {
    for (const unsigned shift : {24U, 16U, 8U, 0U}) bytes.push_back(static_cast<std::uint8_t>(size >> shift));
  }
  bytes.insert(bytes.end(), values.begin(), values.end());
  return bytes;
}

Bytes grey_images(std::size_t count) {
  Bytes values(count * 784);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<std::uint8_t>(1 + i % 251);
  return values;
}

void write_mnist(const std::filesystem::path& directory, std::uint32_t count = 4) {
  write_file(directory / "train-images-idx3-ubyte", idx(3, {count, 28, 28}, grey_images(count)));
  Bytes labels;
  for (std::uint32_t i = 0; i < count; ++i) labels.push_back(static_cast<std::uint8_t>(i % 10));
  write_file(directory / "train-labels-idx1-ubyte", idx(1, {count}, labels));
}

auto open_with(const std::string& kind, const std::filesystem::path& path, bool skip_corrupt = false) {
  return open_dataset({.kind = kind, .path = path, .skip_corrupt = skip_corrupt});
}

TEST(Cifar10, ReadsFiveBatchesInCanonicalOrder) {
  const TemporaryDirectory directory;
  write_cifar10(directory.path());
  const auto dataset = open_with("cifar10", directory.path());
  EXPECT_EQ(dataset->name(), "cifar10");
  EXPECT_EQ(dataset->classes(), 10);
  EXPECT_EQ(dataset->class_names()[9], "truck");
  EXPECT_EQ(dataset->geometry().size, 32);
  EXPECT_THAT(dataset->labels(), ::testing::ElementsAre(1, 5, 2, 6, 3, 7, 4, 8, 5, 9));
  Image image;
  dataset->decode(3, image);  // record 1 of batch 2
  ASSERT_EQ(image.pixels.size(), 3072U);
  for (std::size_t p = 0; p < 1024; ++p) {
    for (std::size_t c = 0; c < 3; ++c) {
      ASSERT_EQ(image.pixels[3 * p + c], static_cast<std::uint8_t>(7 + 3 * p + 50 * c)) << p << " " << c;
    }
  }
}

TEST(Cifar10, TestPartIsAnotherFile) {
  const TemporaryDirectory directory;
  write_cifar10(directory.path());
  const auto test = open_dataset({.kind = "cifar10", .path = directory.path(), .part = Part::test});
  EXPECT_THAT(test->labels(), ::testing::ElementsAre(3));
}

TEST(Cifar10, RefusesBrokenFilesNamingThem) {
  const TemporaryDirectory directory;
  const auto error = [&] { return input_error([&] { (void)open_with("cifar10", directory.path()); }); };
  EXPECT_THAT(error(), AllOf(HasSubstr("data_batch_1.bin"), HasSubstr("cannot be read")));

  write_cifar10(directory.path());
  const std::filesystem::path third = directory.path() / "data_batch_3.bin";
  std::filesystem::resize_file(third, 2 * 3073 - 1);
  EXPECT_THAT(error(), AllOf(HasSubstr("data_batch_3.bin"), HasSubstr("6145 bytes"), HasSubstr("6146")));
  std::filesystem::resize_file(third, 3073);  // cut off between two records
  EXPECT_THAT(error(), AllOf(HasSubstr("data_batch_3.bin"), HasSubstr("3073 bytes"), HasSubstr("6146")));
  std::filesystem::resize_file(third, 0);
  EXPECT_THAT(error(), HasSubstr("data_batch_3.bin"));
  write_file(third, cifar_records({{3}, {10}}));
  EXPECT_THAT(error(), AllOf(HasSubstr("data_batch_3.bin: record 1: label 10"), HasSubstr("0 to 9")));
}

TEST(Cifar10, SkipsAndCountsBrokenRecords) {
  const TemporaryDirectory directory;
  write_cifar10(directory.path());
  write_file(directory.path() / "data_batch_2.bin", cifar_records({{200}, {6}}));
  std::filesystem::resize_file(directory.path() / "data_batch_5.bin", 2 * 3073 - 1);
  const auto dataset = open_with("cifar10", directory.path(), true);
  EXPECT_THAT(dataset->labels(), ::testing::ElementsAre(1, 5, 6, 3, 7, 4, 8, 5));
  EXPECT_THAT(dataset->skipped(), ::testing::ElementsAre(HasSubstr("label 200"), HasSubstr("data_batch_5.bin: holds")));
}

TEST(Cifar100, UsesTheFineLabel) {
  const TemporaryDirectory directory;
  write_file(directory.path() / "train.bin", cifar_records({{19, 99}, {0, 42}}));
  const auto dataset = open_with("cifar100", directory.path());
  EXPECT_EQ(dataset->classes(), 100);
  EXPECT_THAT(dataset->labels(), ::testing::ElementsAre(99, 42));
  EXPECT_EQ(dataset->class_names()[42], "leopard");
  EXPECT_EQ(dataset->class_names()[99], "worm");
  EXPECT_FLOAT_EQ(dataset->normalisation().std[2], 0.2762F);
}

TEST(Idx, PadsAndRepeatsGreyPixels) {
  const TemporaryDirectory directory;
  write_mnist(directory.path());
  const auto dataset = open_with("mnist", directory.path());
  EXPECT_THAT(dataset->labels(), ::testing::ElementsAre(0, 1, 2, 3));
  EXPECT_FLOAT_EQ(dataset->normalisation().mean[1], 0.1307F);
  Image image;
  dataset->decode(2, image);
  ASSERT_EQ(image.width, 32);
  ASSERT_EQ(image.height, 32);
  const Bytes stored = grey_images(4);
  for (int y = 0; y < 32; ++y) {
    for (int x = 0; x < 32; ++x) {
      const bool inside = x >= 2 && x < 30 && y >= 2 && y < 30;
      const auto at = static_cast<std::size_t>(2 * 784 + (y - 2) * 28 + x - 2);
      const std::uint8_t expected = inside ? stored[at] : std::uint8_t{0};
      for (int c = 0; c < 3; ++c) ASSERT_EQ(image.pixels[static_cast<std::size_t>((y * 32 + x) * 3 + c)], expected);
    }
  }
}

TEST(Idx, GzipGivesTheSameDataSet) {
  const TemporaryDirectory plain, packed;
  write_mnist(plain.path());
  const Bytes images = testing::gzip(idx(3, {4, 28, 28}, grey_images(4)));
  write_file(packed.path() / "train-images-idx3-ubyte.gz", images);
  // Two members, as `cat a.gz b.gz` makes them.
  Bytes labels = testing::gzip(idx(1, {4}, {0, 1}));
  const Bytes rest = testing::gzip(Bytes{2, 3});
  labels.insert(labels.end(), rest.begin(), rest.end());
  write_file(packed.path() / "train-labels-idx1-ubyte.gz", labels);
  EXPECT_EQ(open_with("mnist", plain.path())->fingerprint(), open_with("mnist", packed.path())->fingerprint());
}

TEST(Idx, RefusesBrokenFilesNamingThem) {
  const TemporaryDirectory directory;
  const std::filesystem::path images = directory.path() / "train-images-idx3-ubyte";
  const std::filesystem::path labels = directory.path() / "train-labels-idx1-ubyte";
  const auto error = [&] { return input_error([&] { (void)open_with("mnist", directory.path()); }); };
  EXPECT_THAT(error(), HasSubstr("neither train-images-idx3-ubyte nor"));

  const auto with_images = [&](const Bytes& bytes) {
    write_mnist(directory.path());
    write_file(images, bytes);
    return error();
  };
  EXPECT_THAT(with_images({}), AllOf(HasSubstr("train-images-idx3-ubyte"), HasSubstr("holds 0 bytes")));
  EXPECT_THAT(with_images(idx(1, {4}, {0, 1, 2, 3})), AllOf(HasSubstr("magic 2049"), HasSubstr("expected 2051")));
  EXPECT_THAT(with_images(idx(3, {4, 28, 28}, grey_images(3))), AllOf(HasSubstr("2352 data"), HasSubstr("3136")));
  EXPECT_THAT(with_images(idx(3, {4, 28, 28}, grey_images(5))), AllOf(HasSubstr("3920 data"), HasSubstr("3136")));
  EXPECT_THAT(with_images(idx(3, {4, 14, 56}, grey_images(4))), HasSubstr("images of 14 x 56, expected 28 x 28"));
  EXPECT_THAT(with_images(idx(3, {0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF}, {})), HasSubstr("more than 1073741824 bytes"));
  Bytes packed = testing::gzip(idx(3, {4, 28, 28}, grey_images(4)));
  packed[packed.size() - 6] ^= 1U;  // the checksum
  EXPECT_THAT(with_images(packed), HasSubstr("corrupt gzip data: incorrect data check"));
  packed.resize(packed.size() - 9);
  EXPECT_THAT(with_images(packed), HasSubstr("truncated"));

  write_mnist(directory.path());
  write_file(labels, idx(1, {3}, {0, 1, 2}));
  EXPECT_THAT(error(), AllOf(HasSubstr("train-labels-idx1-ubyte: 3 labels, expected 4")));
  write_file(labels, idx(1, {4}, {0, 1, 10, 2}));
  EXPECT_THAT(error(), HasSubstr("label 10 at index 2, expected 0 to 9"));
}

TEST(Idx, SkipsAndCountsBrokenSamples) {
  const TemporaryDirectory directory;
  write_mnist(directory.path());
  write_file(directory.path() / "train-images-idx3-ubyte", idx(3, {4, 28, 28}, grey_images(3)));
  write_file(directory.path() / "train-labels-idx1-ubyte", idx(1, {4}, {0, 77, 2, 3}));
  const auto dataset = open_with("mnist", directory.path(), true);
  EXPECT_THAT(dataset->labels(), ::testing::ElementsAre(0, 2));
  EXPECT_THAT(dataset->skipped(),
              ::testing::ElementsAre(HasSubstr("1 of 4 images are missing"), HasSubstr("label 77")));
  Image image;
  dataset->decode(1, image);  // the third of the file
  EXPECT_EQ(image.pixels[(2 * 32 + 2) * 3], grey_images(3)[2 * 784]);
}

TEST(Idx, ReadsDebiansFashionMnist) {
  if (!std::filesystem::exists("/usr/share/datasets/fashion-mnist/train-images-idx3-ubyte.gz")) {
    GTEST_SKIP() << "the Debian package dataset-fashion-mnist is not installed";
  }
  const auto dataset = open_dataset({.kind = "fashion-mnist"});
  EXPECT_EQ(dataset->size(), 60000);
  std::vector<int> counts(10, 0);
  for (const std::int32_t label : dataset->labels()) ++counts.at(static_cast<std::size_t>(label));
  EXPECT_THAT(counts, ::testing::Each(6000));
  // Mean and standard deviation of the pixels are the constants of the normalisation, up to the border of zeros.
  double sum = 0, squares = 0;
  Image image;
  for (std::int64_t i = 0; i < dataset->size(); ++i) {
    dataset->decode(i, image);
    for (std::size_t p = 0; p < image.pixels.size(); p += 3) {
      const double value = image.pixels[p] / 255.0;
      sum += value;
      squares += value * value;
    }
  }
  const double pixels = 60000.0 * 784;
  const double mean = sum / pixels;
  EXPECT_NEAR(mean, dataset->normalisation().mean[0], 1e-3);
  EXPECT_NEAR(std::sqrt(squares / pixels - mean * mean), dataset->normalisation().std[0], 1e-3);
}

TEST(Dataset, FingerprintChangesWithEveryPartOfTheContent) {
  const TemporaryDirectory directory;
  write_mnist(directory.path());
  const std::uint64_t original = open_with("mnist", directory.path())->fingerprint();
  EXPECT_EQ(open_with("mnist", directory.path())->fingerprint(), original);
  EXPECT_NE(open_with("fashion-mnist", directory.path())->fingerprint(), original);
  write_file(directory.path() / "train-labels-idx1-ubyte", idx(1, {4}, {0, 1, 2, 4}));
  EXPECT_NE(open_with("mnist", directory.path())->fingerprint(), original);
  write_mnist(directory.path());
  Bytes images = grey_images(4);
  images.back() ^= 1U;
  write_file(directory.path() / "train-images-idx3-ubyte", idx(3, {4, 28, 28}, images));
  EXPECT_NE(open_with("mnist", directory.path())->fingerprint(), original);
}

TEST(Dataset, RefusesUnknownKindsMissingPathsAndOtherSizes) {
  EXPECT_THAT(input_error([] { (void)open_dataset({.kind = "svhn"}); }),
              AllOf(HasSubstr("'svhn'"), HasSubstr("cifar10")));
  EXPECT_THAT(input_error([] { (void)open_dataset({.kind = "cifar10"}); }), HasSubstr("needs the path"));
  EXPECT_THAT(input_error([] { (void)open_dataset({.kind = "cifar10", .path = "/", .image_size = 64}); }),
              HasSubstr("image size 64, expected 32"));
  EXPECT_THAT(input_error([] { (void)open_dataset({.kind = "folder", .path = "/", .image_size = -1}); }),
              HasSubstr("image size -1"));
}

}  // namespace
}  // namespace flowdarts
