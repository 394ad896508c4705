#pragma once
// Depthwise convolution with a backward of its own: the libraries' costs 5 to 50 times what it should on a CPU.

#include <torch/torch.h>

#include <cstdint>

namespace flowdarts {

struct DepthwiseOptions {
  std::int64_t stride = 1;
  std::int64_t padding = 0;
  std::int64_t dilation = 1;
  bool relu_input = false;  // convolve max(x, 0)
};

/// x [B, C, H, W] with weight [C * m, 1, k, k] to [B, C * m, H', W'] in channels-last memory: output channel c * m + j
/// reads input channel c, as conv2d with groups = C does. CPU only; float, double, or bfloat16 with sums in float and a
/// weight of either type. x may lie in memory as it likes; channels-last is not copied. Differentiable once, in x and
/// weight; only gradients asked for are computed. The same bits for any number of threads. Throws c10::Error.
torch::Tensor depthwise_conv2d(const torch::Tensor& x, const torch::Tensor& weight,
                               const DepthwiseOptions& options = {});

}  // namespace flowdarts
