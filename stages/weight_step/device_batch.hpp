#pragma once

#include <flowdarts/stages/load/batch.hpp>

#include <torch/torch.h>

namespace flowdarts {

/// A batch on the device: images [B, 3, H, W] in channels-last memory, labels int64 [B]. `share`: the part of the whole
/// batch that it is, where several processes share one.
struct DeviceBatch {
  torch::Tensor images;
  torch::Tensor labels;
  double share = 1;
};

/// Copies a loaded batch's images and labels; of BatchForm::pixels the images are made on the device
/// (augment_on_device()). type: of the images, kFloat or kBFloat16. The batch may go as soon as this returns. Out of
/// pinned memory (PinnedMemory) to a GPU nothing waits for the copy.
DeviceBatch to_device(const Batch& batch, const torch::Device& device, at::ScalarType type = torch::kFloat);

/// A copy, on the device, of `sizes` elements of `type` in the memory of the host; the same holds for it.
torch::Tensor copy_to_device(const void* data, torch::IntArrayRef sizes, at::ScalarType type,
                             const torch::Device& device);

}  // namespace flowdarts
