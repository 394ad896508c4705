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
  const BatchLoader loader(dataset, {.padding = 2, .cutout = 3, .jitter = {0.4, 0.4, 0.4, 0.2}, .lighting = 0.1}, 42,
                           {});
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
  const Augmentation random_ops({6, true}, dataset->normalisation(), {.rand_augment = {.ops = 1}});
  EXPECT_THAT(ResidentDataset::obstacle(*dataset, random_ops, torch::kCPU), HasSubstr("RandAugment changes them"));

  EXPECT_THROW(ResidentDataset(*files, augmentation, torch::kCPU, torch::kFloat), c10::Error);
  EXPECT_THROW(ResidentDataset(*dataset, augmentation, torch::kCPU, torch::kDouble), c10::Error);
  const ResidentDataset resident(*dataset, augmentation, torch::kCPU, torch::kFloat);
  const BatchLoader loader(dataset, {}, 1, {});
  EXPECT_THROW((void)resident.augment(loader.load({.ids = {0, 1}})), c10::Error) << "takes a batch without crops";
  const BatchLoader pixels(dataset, {}, 1, {}, std::pmr::new_delete_resource(), BatchForm::pixels);
  EXPECT_THROW((void)resident.augment(pixels.load({.ids = {0, 1}})), c10::Error) << "takes crops of other images";
  EXPECT_THROW((void)to_device(loader.load_crops({.ids = {0, 1}}), torch::kCPU), c10::Error) << "makes up images";
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

/// A loader of images and one of pixels, of the same images, options and seed.
struct BothForms {
  BatchLoader images, pixels;

  BothForms(const std::shared_ptr<const Dataset>& dataset, const AugmentOptions& options)
      : images(dataset, options, 42, {}),
        pixels(dataset, options, 42, {}, std::pmr::new_delete_resource(), BatchForm::pixels) {}

  [[nodiscard]] DeviceBatch of_images(const BatchPlan& plan) const { return to_device(images.load(plan), torch::kCPU); }
  [[nodiscard]] DeviceBatch of_pixels(const BatchPlan& plan, at::ScalarType type = torch::kFloat) const {
    const Batch batch = pixels.load(plan);
    EXPECT_TRUE(batch.images.empty());
    EXPECT_EQ(batch.pixels.size(), batch.ids.size() * static_cast<std::size_t>(3 * batch.height * batch.width));
    return to_device(batch, torch::kCPU, type);
  }
};

const std::vector<AugmentOptions>& options_of_all_kinds() {
  static const std::vector<AugmentOptions> options{
      {},
      {.cutout = 5},
      {.jitter = {.brightness = 0.6}},
      {.jitter = {.contrast = 0.6}},
      {.jitter = {.saturation = 0.6}},
      {.jitter = {.hue = 0.5}},
      {.lighting = 0.1},
      {.rand_augment = {.ops = 2}},
      {.cutout = 5, .jitter = {0.4, 0.4, 0.4, 0.2}, .rand_augment = {.ops = 2}, .lighting = 0.1}};
  return options;
}

TEST(ToDevice, MakesTheSameImagesOfPixels) {
  const auto dataset = testing::random_images(20, 12);
  for (std::size_t i = 0; i < options_of_all_kinds().size(); ++i) {
    SCOPED_TRACE(i);
    const BothForms loaders(dataset, options_of_all_kinds()[i]);
    for (const bool augment : {true, false}) {
      BatchPlan plan{.epoch = 2, .ids = std::vector<std::int64_t>(20), .augment = augment, .share = {.part = 0.25}};
      std::iota(plan.ids.begin(), plan.ids.end(), 0);
      const DeviceBatch expected = loaders.of_images(plan), found = loaders.of_pixels(plan),
                        rounded = loaders.of_pixels(plan, torch::kBFloat16);
      EXPECT_TRUE(found.images.is_contiguous(torch::MemoryFormat::ChannelsLast));
      EXPECT_TRUE(torch::equal(found.images, expected.images));
      EXPECT_TRUE(torch::equal(rounded.images, expected.images.to(torch::kBFloat16)));
      EXPECT_TRUE(torch::equal(found.labels, expected.labels));
      EXPECT_EQ(found.share, 0.25);
    }
  }
}

// Photographs that are resized are rounded to 8 bits, as by a loader of images where jitter or RandAugment follow.
TEST(ToDevice, RoundsResizedImages) {
  const testing::TemporaryDirectory root;
  for (int i = 0; i < 6; ++i) {
    const int width = 40 + 9 * i, height = 75 - 7 * i;
    testing::write_file(root.path() / "class" / (std::to_string(i) + ".jpg"),
                        testing::encode_jpeg(testing::pattern(width, height, 3), width, height));
  }
  testing::write_file(root.path() / "class" / "3.jpg", {});
  const auto dataset = open_dataset({.kind = "folder", .path = root.path(), .skip_corrupt = true, .image_size = 16});
  const torch::Tensor std =
      torch::tensor({dataset->normalisation().std[0], dataset->normalisation().std[1], dataset->normalisation().std[2]})
          .view({1, 3, 1, 1});
  for (std::size_t i = 0; i < options_of_all_kinds().size(); ++i) {
    SCOPED_TRACE(i);
    const AugmentOptions& options = options_of_all_kinds()[i];
    const BothForms loaders(dataset, options);
    for (const bool augment : {true, false}) {
      BatchPlan plan{.epoch = 2, .augment = augment};
      for (std::int64_t id = 0; id < dataset->size(); ++id) plan.ids.insert(plan.ids.end(), 3, id);
      const DeviceBatch expected = loaders.of_images(plan), found = loaders.of_pixels(plan);
      ASSERT_GE(found.images.size(0), 15);
      EXPECT_TRUE(torch::equal(found.labels, expected.labels));
      if (augment && (options.jitter.any() || options.rand_augment.any())) {
        EXPECT_TRUE(torch::equal(found.images, expected.images));
      } else {
        const torch::Tensor levels = (found.images - expected.images).abs() * std * 255;
        EXPECT_LE(levels.max().item<float>(), 0.5 + 1e-3);
        EXPECT_GT(levels.mean().item<float>(), 0.1);
      }
    }
  }
}

}  // namespace
}  // namespace flowdarts
