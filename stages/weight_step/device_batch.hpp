#pragma once

#include <flowdarts/stages/load/batch.hpp>

#include <torch/torch.h>

namespace flowdarts {

/// A batch on the device: images [B, 3, H, W] float32 in channels-last memory, labels int64 [B].
struct DeviceBatch {
  torch::Tensor images;
  torch::Tensor labels;
};

/// Copies a loaded batch, which may go as soon as this returns.
DeviceBatch to_device(const Batch& batch, const torch::Device& device);

}  // namespace flowdarts
