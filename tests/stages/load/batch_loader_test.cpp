#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cmath>
#include <flowdarts/spaces/support/error.hpp>
#include <flowdarts/stages/load/batch_loader.hpp>
#include <flowdarts/stages/load/sampler.hpp>
#include <numeric>
#include <set>
#include <thread>

#include "../../counting_memory.hpp"
#include "memory_images.hpp"
#include "test_images.hpp"

namespace flowdarts {
namespace {

using testing::Bytes;
using ::testing::ElementsAre;
using testing::encode_jpeg;
using ::testing::HasSubstr;
using testing::input_error;
using testing::pattern;
using testing::TemporaryDirectory;
using testing::write_file;

// Images of many sizes in three classes.
void write_images(const std::filesystem::path& root, int count) {
  for (int i = 0; i < count; ++i) {
    const int width = 40 + 7 * i % 60, height = 40 + 11 * i % 50;
    write_file(root / ("class" + std::to_string(i % 3)) / (std::to_string(100 + i) + ".jpg"),
               encode_jpeg(pattern(width, height, 3, i), width, height, {.chroma_subsampling = 1 + i % 2}));
  }
}

std::vector<BatchPlan> plans(std::int64_t samples, std::int64_t batch_size) {
  std::vector<std::int64_t> ids(static_cast<std::size_t>(samples));
  std::iota(ids.begin(), ids.end(), 0);
  std::vector<BatchPlan> result;
  for (const Split split : all_splits) {
    PersistentIterator iterator(ids, batch_size, 5, split);
    for (int i = 0; i < 12; ++i) {
      PersistentIterator::Draw draw = iterator.next();
      result.push_back({split, draw.pass, draw.index, std::move(draw.ids), i % 4 != 3});
    }
  }
  return result;
}

TEST(BatchLoader, GivesTheSameBitsFromAnyNumberOfThreads) {
  const TemporaryDirectory root;
  write_images(root.path(), 24);
  const auto dataset = open_dataset({.kind = "folder", .path = root.path(), .image_size = 20});
  const std::vector<BatchPlan> work = plans(dataset->size(), 5);
  std::vector<Batch> expected;
  for (const int threads : {1, 2, 4}) {
    const BatchLoader loader(dataset, {.padding = 0, .cutout = 6}, 42, {});
    std::vector<Batch> batches(work.size());
    std::atomic<std::size_t> next = 0;
    std::vector<std::jthread> workers;
    for (int t = 0; t < threads; ++t) {
      workers.emplace_back([&, t] {
        for (std::size_t i = next++; i < work.size(); i = next++) {
          std::this_thread::sleep_for(
              std::chrono::microseconds((i * 7919 + static_cast<std::size_t>(t) * 104729) % 700));
          batches[i] = loader.load(work[i]);
        }
      });
    }
    workers.clear();
    if (threads == 1) expected = batches;
    for (std::size_t i = 0; i < work.size(); ++i) {
      ASSERT_EQ(batches[i].ids, work[i].ids);
      ASSERT_EQ(batches[i].labels, expected[i].labels);
      ASSERT_EQ(batches[i].images, expected[i].images) << threads << " threads, batch " << i;
      for (const float value : batches[i].images) ASSERT_TRUE(std::isfinite(value));
    }
  }
}

TEST(BatchLoader, AugmentationDependsOnSeedSplitEpochAndSampleAlone) {
  const TemporaryDirectory root;
  write_images(root.path(), 6);
  const auto dataset = open_dataset({.kind = "folder", .path = root.path(), .image_size = 20});
  const BatchLoader loader(dataset, {.padding = 0}, 42, {}), other_seed(dataset, {.padding = 0}, 43, {});
  const auto image = [](const Batch& batch, std::size_t i) {
    const std::size_t floats = batch.images.size() / batch.ids.size();
    return std::vector<float>(batch.images.begin() + static_cast<std::ptrdiff_t>(i * floats),
                              batch.images.begin() + static_cast<std::ptrdiff_t>((i + 1) * floats));
  };
  const std::vector<float> original = image(loader.load({Split::train, 3, 0, {1, 2, 4}}), 2);
  EXPECT_EQ(image(loader.load({Split::train, 3, 9, {4}}), 0), original);  // not on its place in a batch
  EXPECT_NE(image(loader.load({Split::val, 3, 0, {4}}), 0), original);
  EXPECT_NE(image(loader.load({Split::train, 4, 0, {4}}), 0), original);
  EXPECT_NE(image(other_seed.load({Split::train, 3, 0, {4}}), 0), original);
}

TEST(BatchLoader, StatesShapeLabelsAndOrder) {
  const TemporaryDirectory root;
  write_images(root.path(), 6);
  const auto dataset = open_dataset({.kind = "folder", .path = root.path(), .image_size = 20});
  const BatchLoader loader(dataset, {}, 1, {});
  const Batch batch = loader.load({Split::val, 7, 3, {5, 0, 2}, false});
  EXPECT_EQ(batch.split, Split::val);
  EXPECT_EQ(batch.epoch, 7);
  EXPECT_EQ(batch.index, 3);
  EXPECT_THAT(batch.ids, ElementsAre(5, 0, 2));
  EXPECT_THAT(batch.labels, ElementsAre(2, 0, 1));
  EXPECT_EQ(batch.height, 20);
  EXPECT_EQ(batch.width, 20);
  EXPECT_EQ(batch.images.size(), 3U * 3 * 20 * 20);
  EXPECT_THAT(input_error([&] {
                (void)loader.load({Split::train, 0, 0, {6}});
              }),
              HasSubstr("sample 6 of data set folder, expected 0 to 5"));
}

TEST(BatchLoader, CropsAreThoseOfTheSameBatch) {
  constexpr int size = 12;
  const auto dataset = testing::random_images(30, size);
  const BatchLoader loader(dataset, {.padding = 3, .cutout = 4}, 42, {});
  for (const BatchPlan& plan : plans(dataset->size(), 8)) {
    const Batch pixels = loader.load(plan), crops = loader.load_crops(plan);
    EXPECT_EQ(crops.split, pixels.split);
    EXPECT_EQ(crops.epoch, pixels.epoch);
    EXPECT_EQ(crops.index, pixels.index);
    EXPECT_EQ(crops.ids, pixels.ids);
    EXPECT_EQ(crops.labels, pixels.labels);
    EXPECT_EQ(crops.height, size);
    EXPECT_EQ(crops.width, size);
    EXPECT_TRUE(crops.images.empty());
    EXPECT_TRUE(pixels.crops.empty());
    ASSERT_EQ(crops.crops.size(), plan.ids.size());
    auto expected = pixels.images.begin();
    Image image;
    for (const Crop& crop : crops.crops) {
      dataset->decode(crop.sample, image);
      for (std::size_t c = 0; c < 3; ++c) {
        for (int i = 0; i < size * size; ++i, ++expected) {
          float rgb[3];
          augmented_pixel(image.pixels.data(), size, crop, 0, loader.augmentation().normalised().data(), i % size,
                          i / size, rgb);
          ASSERT_EQ(rgb[c], *expected);
        }
      }
    }
  }
  EXPECT_THAT(input_error([&] {
                (void)loader.load_crops({Split::train, 0, 0, {30}});
              }),
              HasSubstr("sample 30 of data set random, expected 0 to 29"));
}

TEST(BatchLoader, CropsNeedImagesOfOneSize) {
  const TemporaryDirectory root;
  write_images(root.path(), 3);
  const BatchLoader loader(open_dataset({.kind = "folder", .path = root.path(), .image_size = 20}), {}, 1, {});
  EXPECT_THROW((void)loader.load_crops({Split::train, 0, 0, {0}}), std::invalid_argument);
}

TEST(BatchLoader, ArraysStayInTheMemoryTheyWereGiven) {
  testing::CountingMemory memory;
  {
    const BatchLoader loader(testing::random_images(4, 8), {}, 42, {}, &memory);
    Batch pixels = loader.load({Split::train, 0, 0, {0, 1}}), crops = loader.load_crops({Split::train, 0, 0, {2}});
    EXPECT_EQ(memory.taken(), 4);
    const float* data = pixels.images.data();
    Batch moved;
    moved = std::move(pixels);
    EXPECT_EQ(moved.images.data(), data);
    Batch built = std::move(crops);
    EXPECT_EQ(built.crops.get_allocator().memory(), &memory);
    EXPECT_EQ(memory.taken(), 4);
  }
  EXPECT_EQ(memory.given_back(), 4);
}

TEST(BatchLoader, CountsEachCorruptFileOnceFromAnyNumberOfThreads) {
  const TemporaryDirectory root;
  write_images(root.path(), 12);
  write_file(root.path() / "class1" / "101.jpg", Bytes{});
  const std::filesystem::path cut = root.path() / "class2" / "105.jpg";
  std::filesystem::resize_file(cut, std::filesystem::file_size(cut) * 2 / 3);
  std::filesystem::create_directory(root.path() / "empty");
  EXPECT_THAT(input_error([&] { (void)open_dataset({.kind = "folder", .path = root.path()}); }), HasSubstr("empty"));

  const auto dataset = open_dataset({.kind = "folder", .path = root.path(), .skip_corrupt = true, .image_size = 20});
  std::vector<std::string> lines;
  const BatchLoader loader(dataset, {}, 1, [&](const std::string& line) { lines.push_back(line); });
  EXPECT_EQ(loader.skipped(), 1);
  BatchPlan plan{Split::train, 0, 0, {}};
  plan.ids.resize(static_cast<std::size_t>(dataset->size()));
  std::iota(plan.ids.begin(), plan.ids.end(), 0);
  std::vector<std::jthread> workers;
  for (int t = 0; t < 4; ++t) {
    workers.emplace_back([&, t] {
      BatchPlan own = plan;
      own.epoch = t;
      const Batch batch = loader.load(own);
      EXPECT_EQ(batch.ids.size(), 10U);
      EXPECT_EQ(batch.labels.size(), 10U);
      EXPECT_EQ(batch.images.size(), 10U * 3 * 20 * 20);
      EXPECT_EQ(batch.ids, loader.load(own).ids);
    });
  }
  workers.clear();
  EXPECT_EQ(loader.skipped(), 3);
  EXPECT_THAT(lines, ::testing::UnorderedElementsAre(HasSubstr("empty: class folder without"), HasSubstr("101.jpg"),
                                                     HasSubstr("105.jpg: corrupt JPEG")));
}

TEST(BatchLoader, ACorruptFileEndsALoadThatMustNotSkip) {
  const TemporaryDirectory root;
  write_images(root.path(), 6);
  write_file(root.path() / "class1" / "104.jpg", Bytes{0xFF, 0xD8, 0xFF});
  const auto dataset = open_dataset({.kind = "folder", .path = root.path(), .image_size = 20});
  const BatchLoader loader(dataset, {}, 1, {});
  EXPECT_THAT(input_error([&] { (void)loader.load({Split::train, 0, 0, {0, 1, 2, 3, 4, 5}}); }), HasSubstr("104.jpg"));
}

TEST(BatchLoader, ReadsFilesAndDecodesThemLater) {
  const TemporaryDirectory root;
  write_images(root.path(), 6);
  const std::filesystem::path gone = root.path() / "class1" / "104.jpg";
  const auto strict = open_dataset({.kind = "folder", .path = root.path(), .image_size = 20});
  const auto lenient = open_dataset({.kind = "folder", .path = root.path(), .skip_corrupt = true, .image_size = 20});
  std::vector<std::string> lines;
  const BatchLoader loader(strict, {}, 1, {}),
      skipping(lenient, {}, 1, [&](const auto&line) { lines.push_back(line); });
  const BatchPlan plan{Split::train, 2, 0, {5, 3, 0}};
  EXPECT_TRUE(loader.reads());
  const Batch expected = loader.load(plan);
  const EncodedBatch whole = loader.read(plan);
  ASSERT_EQ(whole.size(), 3U);
  std::filesystem::remove(gone);
  EXPECT_EQ(loader.decode(plan, whole).images, expected.images) << "decode() reads no file";

  const EncodedBatch encoded = loader.read(plan);  // image 3 is gone
  ASSERT_EQ(encoded.size(), 3U);
  EXPECT_EQ(encoded[0].bytes, whole[0].bytes);
  EXPECT_THAT(encoded[1].failure, HasSubstr("104.jpg: cannot be read"));
  EXPECT_EQ(encoded[2].failure, "");
  EXPECT_EQ(input_error([&] { (void)loader.decode(plan, encoded); }), encoded[1].failure);
  EXPECT_THAT(skipping.decode(plan, encoded).ids, ElementsAre(5, 0));
  EXPECT_THAT(lines, ElementsAre(encoded[1].failure));

  EXPECT_THAT(input_error([&] { (void)loader.read(6); }), HasSubstr("sample 6 of data set folder, expected 0 to 5"));
  EXPECT_THROW((void)loader.decode(plan, {}), std::invalid_argument);
}

TEST(BatchLoader, ReadsNothingOfADataSetInMemory) {
  const BatchLoader loader(testing::random_images(4, 8), {}, 42, {});
  EXPECT_FALSE(loader.reads());
  const BatchPlan plan{Split::train, 0, 0, {0, 3}};
  EXPECT_TRUE(loader.read(plan).empty());
  EXPECT_EQ(loader.decode(plan, {}).images, loader.load(plan).images);
}

TEST(BatchLoader, LoadsTheImageNetSample) {
  const std::filesystem::path root = testing::shared_data() / "imagenet-sample";
  if (!std::filesystem::is_directory(root)) GTEST_SKIP() << "no imagenet-sample in FLOWDARTS_SHARED_DATA";
  const auto dataset = open_dataset({.kind = "folder", .path = root});
  EXPECT_EQ(dataset->size(), 200);
  EXPECT_EQ(dataset->classes(), 200);
  EXPECT_EQ(dataset->geometry().size, 224);
  const BatchLoader loader(dataset, {}, 1, {});
  for (const bool augment : {true, false}) {
    double sum = 0, squares = 0;
    std::size_t values = 0;
    for (std::int64_t first = 0; first < 200; first += 20) {
      BatchPlan plan{Split::train, 0, first / 20, {}, augment};
      for (std::int64_t i = first; i < first + 20; ++i) plan.ids.push_back(i);
      const Batch batch = loader.load(plan);
      ASSERT_EQ(batch.ids.size(), 20U);
      for (const float value : batch.images) {
        ASSERT_TRUE(value > -2.2F && value < 2.7F);
        sum += value;
        squares += static_cast<double>(value) * value;
      }
      values += batch.images.size();
    }
    // Natural images, normalised: about mean 0, variance 1.
    const double mean = sum / static_cast<double>(values);
    EXPECT_NEAR(mean, 0.0, 0.3);
    EXPECT_NEAR(squares / static_cast<double>(values) - mean * mean, 1.0, 0.4);
  }
}

}  // namespace
}  // namespace flowdarts
