// A resident data set on a CPU, against loading pixels.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <flowdarts/stages/load/batch_loader.hpp>
#include <flowdarts/stages/load/resident_dataset.hpp>
#include <numeric>

#include "../load/memory_images.hpp"
#include "../load/test_images.hpp"

namespace flowdarts {
namespace {

using ::testing::HasSubstr;

TEST(ResidentDataset, MakesTheBatchesOfTheLoader) {
  // More images than are copied at once.
  const auto dataset = testing::random_images(4500, 6);
  const BatchLoader loader(dataset, {.padding = 2, .cutout = 3}, 42, {});
  const ResidentDataset exact(*dataset, loader.augmentation(), torch::kCPU, torch::kFloat),
      rounded(*dataset, loader.augmentation(), torch::kCPU, torch::kBFloat16);
  EXPECT_EQ(exact.bytes(), 4500 * 6 * 6 * 3);
  for (const bool augment : {true, false}) {
    BatchPlan plan{.split = Split::val, .epoch = 3, .ids = {0, 4499, 4095, 4096, 17, 17}, .augment = augment};
    const DeviceBatch expected = to_device(loader.load(plan), torch::kCPU);
    for (const auto* resident : {&exact, &rounded}) {
      const DeviceBatch batch = resident->augment(loader.load_crops(plan));
      EXPECT_TRUE(batch.images.is_contiguous(torch::MemoryFormat::ChannelsLast));
      EXPECT_TRUE(torch::equal(batch.labels, expected.labels));
      EXPECT_TRUE(
          torch::equal(batch.images, resident == &exact ? expected.images : expected.images.to(torch::kBFloat16)));
    }
  }
}

TEST(ResidentDataset, RefusesWhatItCannotHold) {
  const testing::TemporaryDirectory root;
  for (const char* name : {"a.jpg", "b.jpg"}) {
    testing::write_file(root.path() / "class" / name, testing::encode_jpeg(testing::pattern(16, 16, 3), 16, 16));
  }
  const auto files = open_dataset({.kind = "folder", .path = root.path()});
  const Augmentation augmentation({6, true}, testing::random_images(1, 6)->normalisation(), {});
  EXPECT_THAT(ResidentDataset::obstacle(*files, augmentation, torch::kCPU), HasSubstr("files of their own"));
  const auto varying = open_dataset({.kind = "folder", .path = root.path(), .image_size = 12});
  EXPECT_THAT(ResidentDataset::obstacle(*varying, augmentation, torch::kCPU), HasSubstr("sizes vary"));
  const auto dataset = testing::random_images(3, 6);
  EXPECT_EQ(ResidentDataset::obstacle(*dataset, augmentation, torch::kCPU), "");
  const Augmentation jittered({6, true}, dataset->normalisation(), {.jitter = {.hue = 0.1}});
  EXPECT_THAT(ResidentDataset::obstacle(*dataset, jittered, torch::kCPU), HasSubstr("their colours are altered"));

  EXPECT_THROW(ResidentDataset(*files, augmentation, torch::kCPU, torch::kFloat), c10::Error);
  EXPECT_THROW(ResidentDataset(*dataset, augmentation, torch::kCPU, torch::kDouble), c10::Error);
  const ResidentDataset resident(*dataset, augmentation, torch::kCPU, torch::kFloat);
  const BatchLoader loader(dataset, {}, 1, {});
  EXPECT_THROW((void)resident.augment(loader.load({.ids = {0, 1}})), c10::Error) << "takes a batch without crops";
}

TEST(ToDevice, CopiesPixelsIntoChannelsLastMemory) {
  const auto dataset = testing::random_images(5, 4);
  const BatchLoader loader(dataset, {}, 42, {});
  Batch loaded = loader.load({.ids = {3, 1}, .augment = false});
  const DeviceBatch batch = to_device(loaded, torch::kCPU);
  EXPECT_TRUE(batch.images.is_contiguous(torch::MemoryFormat::ChannelsLast));
  for (std::size_t i = 0; i < loaded.images.size(); ++i) {
    EXPECT_EQ(batch.images.contiguous().view(-1)[static_cast<std::int64_t>(i)].item<float>(), loaded.images[i]);
  }
  EXPECT_TRUE(torch::equal(batch.labels, torch::tensor({0, 1}, torch::kLong)));
  // It may go, or change.
  std::ranges::fill(loaded.images, 7.0F);
  std::ranges::fill(loaded.labels, 2);
  EXPECT_FALSE((batch.images == 7.0).any().item<bool>());
  EXPECT_TRUE(torch::equal(batch.labels, torch::tensor({0, 1}, torch::kLong)));
}

}  // namespace
}  // namespace flowdarts
