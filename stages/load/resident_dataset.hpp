#pragma once
// A data set that lives on the device and is augmented there.

#include <flowdarts/stages/load/augment.hpp>
#include <flowdarts/stages/load/batch.hpp>
#include <flowdarts/stages/load/dataset.hpp>
#include <flowdarts/stages/weight_step/device_batch.hpp>

#include <torch/torch.h>

#include <string>

namespace flowdarts {

/// All images of a data set as uint8 in the memory of a device. Loaders send it what they have chosen
/// (BatchLoader::load_crops()) instead of pixels; one kernel a batch makes images of that (augment_on_device()). In
/// float32 they are bit for bit those that BatchLoader::load() and to_device() make.
class ResidentDataset {
 public:
  /// Why a data set cannot live on a device; empty where it can. Its images must have one size and be in memory
  /// already, undergo no RandAugment, and on a GPU take at most half of the memory that is free: activations need the
  /// rest.
  [[nodiscard]] static std::string obstacle(const Dataset& dataset, const Augmentation& augmentation,
                                            const torch::Device& device);

  /// Copies the images, waiting for the device. type: of the images that augment() makes, kFloat or kBFloat16. Throws
  /// c10::Error where there is an obstacle.
  ResidentDataset(const Dataset& dataset, const Augmentation& augmentation, const torch::Device& device,
                  at::ScalarType type);

  /// The batch of these crops, on the device's current stream. Nothing waits for the device where the batch is in
  /// pinned memory; it may go as soon as this returns.
  [[nodiscard]] DeviceBatch augment(const Batch& batch) const;

  [[nodiscard]] std::int64_t bytes() const { return images_.numel(); }

 private:
  torch::Tensor images_;  // uint8 [samples, size, size, 3]
  at::ScalarType type_;
};

}  // namespace flowdarts
