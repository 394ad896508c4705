#pragma once
// What a forward pass says of its batch, computed on the device.

#include <torch/torch.h>

namespace flowdarts {

/// Packs the mean loss, the number of correct predictions and the per-sample errors into one float32 tensor [2 + B] on
/// the device, so that one copy brings all of it to the host. The error of a sample is e = ||softmax(logits) -
/// one-hot||_2, in [0, sqrt 2] (EL2N; BDP, section 3). logits [B, classes], labels int64 [B], loss a scalar.
torch::Tensor pack_results(const torch::Tensor& loss, const torch::Tensor& logits, const torch::Tensor& labels);

}  // namespace flowdarts
