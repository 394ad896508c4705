#pragma once

#include <flowdarts/stages/load/batch.hpp>

#include <torch/torch.h>

namespace flowdarts {

/// augmented_pixel() of every crop, on the images' device and its current stream: [B, 3, size, size] in channels-last
/// memory, `type` kFloat, the same bits on every device, or kBFloat16, those rounded to nearest even. images: uint8
/// [N, size, size, 3]; each crop's sample is one of them. Nothing waits for the device where the crops are in pinned
/// memory; they may go as soon as this returns. Throws c10::Error.
torch::Tensor augment_on_device(const torch::Tensor& images, const BatchArray<Crop>& crops,
                                const Normalisation& normalisation, at::ScalarType type);

}  // namespace flowdarts
