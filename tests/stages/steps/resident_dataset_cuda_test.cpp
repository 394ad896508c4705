// Batches on a GPU, augmented there or on the CPU, against the same on a CPU: bit for bit.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <flowdarts/stages/load/batch_loader.hpp>
#include <flowdarts/stages/load/pinned_memory.hpp>
#include <flowdarts/stages/load/resident_dataset.hpp>
#include <string>
#include <vector>

#include "../../no_synchronisation.hpp"
#include "../load/memory_images.hpp"

namespace flowdarts {
namespace {

using ::testing::HasSubstr;

class ResidentDatasetOnGpu : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!torch::cuda::is_available()) GTEST_SKIP() << "no GPU in this machine";
  }
};

/// Batches of many samples, in training and as they are.
std::vector<BatchPlan> some_plans(std::int64_t samples) {
  std::vector<BatchPlan> plans;
  CounterRng rng(3, Stream::noise);
  for (const std::int64_t size : {64, 1, 17, 64, 64, 64, 64, 300}) {
    BatchPlan plan{.split = plans.size() % 2 == 0 ? Split::train : Split::val,
                   .epoch = static_cast<std::int64_t>(plans.size()) / 3,
                   .augment = plans.size() != 4};
    for (std::int64_t i = 0; i < size; ++i) {
      plan.ids.push_back(static_cast<std::int64_t>(rng.below(static_cast<std::uint64_t>(samples))));
    }
    plans.push_back(std::move(plan));
  }
  return plans;
}

void expect_same(const DeviceBatch& actual, const DeviceBatch& expected, at::ScalarType type) {
  EXPECT_TRUE(actual.images.is_cuda());
  EXPECT_TRUE(actual.images.is_contiguous(torch::MemoryFormat::ChannelsLast));
  EXPECT_TRUE(torch::equal(actual.images.cpu(), expected.images.to(type)));
  EXPECT_TRUE(torch::equal(actual.labels.cpu(), expected.labels));
}

TEST_F(ResidentDatasetOnGpu, MakesTheBitsOfTheCpu) {
  for (const int size : {32, 7}) {
    const auto dataset = testing::random_images(5000, size);
    for (const AugmentOptions options : {AugmentOptions{.padding = 4, .cutout = 0},
                                         {.padding = 4, .cutout = 5},
                                         {.padding = 0, .cutout = 6},
                                         {.padding = size, .cutout = size},
                                         {.jitter = {0.4, 0.4, 0.4, 0.2}, .lighting = 0.1}}) {
      PinnedMemory pinned;
      const BatchLoader loader(dataset, options, 42, {}, &pinned);
      for (const at::ScalarType type : {torch::kFloat, torch::kBFloat16}) {
        SCOPED_TRACE(c10::str(size, " pixels, padding ", options.padding, ", cutout ", options.cutout, ", ", type));
        const ResidentDataset resident(*dataset, loader.augmentation(), torch::kCUDA, type);
        std::vector<DeviceBatch> batches;
        {
          const testing::NoSynchronisation none;
          // The host is far ahead of the device, and every batch is gone before the device reads it.
          for (const BatchPlan& plan : some_plans(dataset->size())) {
            batches.push_back(resident.augment(loader.load_crops(plan)));
          }
        }
        const std::vector<BatchPlan> plans = some_plans(dataset->size());
        for (std::size_t i = 0; i < plans.size(); ++i) {
          SCOPED_TRACE(i);
          expect_same(batches[i], to_device(loader.load(plans[i]), torch::kCPU), type);
        }
      }
    }
  }
}

TEST_F(ResidentDatasetOnGpu, PixelsComeOutOfPinnedMemoryWithoutWaiting) {
  const auto dataset = testing::random_images(400, 32);
  PinnedMemory pinned;
  const BatchLoader loader(dataset, {}, 42, {}, &pinned), pageable(dataset, {}, 42, {});
  const std::vector<BatchPlan> plans = some_plans(dataset->size());
  std::vector<DeviceBatch> batches;
  {
    // Long enough that the copies have to wait for it.
    const torch::Tensor busy = torch::randn({4096, 4096}, torch::kCUDA);
    for (int i = 0; i < 20; ++i) busy.mm(busy);
    const testing::NoSynchronisation none;
    for (const BatchPlan& plan : plans) batches.push_back(to_device(loader.load(plan), torch::kCUDA));
  }
  for (std::size_t i = 0; i < plans.size(); ++i) {
    SCOPED_TRACE(i);
    const Batch batch = pageable.load(plans[i]);
    expect_same(batches[i], to_device(batch, torch::kCPU), torch::kFloat);
    expect_same(to_device(batch, torch::kCUDA), to_device(batch, torch::kCPU), torch::kFloat);
  }
}

TEST_F(ResidentDatasetOnGpu, PixelsAreFinishedThere) {
  const auto dataset = testing::random_images(400, 48);
  for (const AugmentOptions options : {AugmentOptions{.cutout = 5},
                                       {.jitter = {.brightness = 0.6}},
                                       {.jitter = {.contrast = 0.6}},
                                       {.jitter = {.saturation = 0.6}},
                                       {.jitter = {.hue = 0.5}},
                                       {.rand_augment = {.ops = 2}, .lighting = 0.1},
                                       {.cutout = 9, .jitter = {0.4, 0.4, 0.4, 0.2}, .lighting = 0.1}}) {
    PinnedMemory pinned;
    const BatchLoader loader(dataset, options, 42, {}, &pinned, BatchForm::pixels), images(dataset, options, 42, {});
    const std::vector<BatchPlan> plans = some_plans(dataset->size());
    for (const at::ScalarType type : {torch::kFloat, torch::kBFloat16}) {
      std::vector<DeviceBatch> batches;
      {
        const testing::NoSynchronisation none;
        for (const BatchPlan& plan : plans) batches.push_back(to_device(loader.load(plan), torch::kCUDA, type));
      }
      for (std::size_t i = 0; i < plans.size(); ++i) {
        SCOPED_TRACE(i);
        expect_same(batches[i], to_device(images.load(plans[i]), torch::kCPU), type);
      }
    }
  }
}

TEST_F(ResidentDatasetOnGpu, RefusesADataSetThatIsTooLarge) {
  // 600 GB by its own account; nobody looks at a pixel.
  MemoryDataset::Facts facts;
  facts.labels.resize(200'000);
  facts.geometry = {1024, true};
  const MemoryDataset dataset(std::move(facts), {}, 0, [](const std::uint8_t*, Image&) {});
  const auto few = testing::random_images(3, 8);
  const Augmentation augmentation(few->geometry(), few->normalisation(), {});
  EXPECT_THAT(ResidentDataset::obstacle(dataset, augmentation, torch::kCUDA),
              HasSubstr("they take 600000 MiB, expected at most half of the"));
  EXPECT_EQ(ResidentDataset::obstacle(*few, augmentation, torch::kCUDA), "");
}

}  // namespace
}  // namespace flowdarts
