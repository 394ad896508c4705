#pragma once
// What the tests share that hold a fused supernet to its oracle.

#include <gtest/gtest.h>

#include <ATen/autocast_mode.h>
#include <torch/torch.h>

#include <algorithm>

namespace flowdarts::testing {

inline double largest(const torch::Tensor& x) {
  return x.abs().max().item<double>();
}

/// Parameters and buffers of the same names and sizes.
inline void expect_same_layout(const torch::nn::Module& actual, const torch::nn::Module& expected) {
  const auto found = actual.named_parameters(), wanted = expected.named_parameters();
  ASSERT_EQ(found.size(), wanted.size());
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    EXPECT_EQ(found[i].key(), wanted[i].key());
    EXPECT_EQ(found[i].value().sizes(), wanted[i].value().sizes());
  }
  EXPECT_EQ(actual.named_buffers().keys(), expected.named_buffers().keys());
}

/// The buffers: relative to the largest element of each, or to 0.1.
inline void expect_same_statistics(const torch::nn::Module& actual, const torch::nn::Module& expected,
                                   double relative) {
  const auto buffers = expected.named_buffers();
  for (const auto& item : actual.named_buffers()) {
    const torch::Tensor& other = buffers[item.key()];
    EXPECT_LE(largest(item.value() - other), relative * std::max(0.1, largest(other))) << item.key();
  }
}

/// While it lives, LibTorch runs convolutions on the CPU in bfloat16.
struct Autocast {
  Autocast() {
    at::autocast::set_autocast_enabled(at::kCPU, true);
    at::autocast::set_autocast_dtype(at::kCPU, at::kBFloat16);
  }
  Autocast(const Autocast&) = delete;
  Autocast& operator=(const Autocast&) = delete;
  ~Autocast() {
    at::autocast::clear_cache();
    at::autocast::set_autocast_enabled(at::kCPU, false);
  }
};

}  // namespace flowdarts::testing
