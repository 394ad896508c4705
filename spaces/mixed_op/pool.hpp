#pragma once
// Average and max pool with backwards of their own.

#include <torch/torch.h>

#include <cstdint>

namespace flowdarts {

struct PoolOptions {
  std::int64_t kernel = 3;
  std::int64_t stride = 1;
  std::int64_t padding = 1;  // at most kernel / 2
};

/// x [B, C, H, W] to [B, C, H', W'] in channels-last memory: the mean of each window, padding not counted. CPU only;
/// float, double, or bfloat16 with sums in float. x may lie in memory as it likes; channels-last is not copied.
/// Differentiable once. The same bits for any number of threads. Throws c10::Error.
torch::Tensor average_pool2d(const torch::Tensor& x, const PoolOptions& options = {});

/// As average_pool2d, the maximum of each window. The gradient goes where that of LibTorch's max_pool2d goes.
torch::Tensor max_pool2d(const torch::Tensor& x, const PoolOptions& options = {});

}  // namespace flowdarts
