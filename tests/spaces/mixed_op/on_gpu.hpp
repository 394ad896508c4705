#pragma once
// What the tests of operators on a GPU share.

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <algorithm>
#include <flowdarts/spaces/rank_sum.hpp>
#include <string>
#include <vector>

namespace flowdarts::testing {

/// Skips its cases where there is no GPU.
class OnGpu : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!torch::cuda::is_available()) GTEST_SKIP() << "no GPU in this machine";
    torch::manual_seed(7);
  }
};

/// Adds up over this process and one that has the same share of every batch.
class SumWithTwin : public RankSum {
 public:
  void add_up(const torch::Tensor& tensor) const override {
    const torch::NoGradGuard no_grad;
    TORCH_CHECK(tensor.is_contiguous() && tensor.scalar_type() == torch::kDouble, "a message is contiguous doubles");
    tensor.mul_(2);
    ++messages_;
  }

  [[nodiscard]] int messages() const { return messages_; }

 private:
  mutable int messages_ = 0;
};

/// What an operator of ours may differ by from the exact result.
inline double tolerance_of(at::ScalarType type) {
  return type == torch::kDouble ? 1e-10 : type == torch::kFloat ? 1e-4 : 3e-2;
}

/// Random numbers that `type` holds exactly, in double, channels-last, on the CPU.
inline torch::Tensor random_images(torch::IntArrayRef sizes, at::ScalarType type) {
  return torch::randn(sizes, torch::kDouble).to(type).to(torch::kDouble).contiguous(torch::MemoryFormat::ChannelsLast);
}

/// Relative to the largest element of `expected`.
inline void expect_close(const torch::Tensor& actual, const torch::Tensor& expected, double relative) {
  ASSERT_EQ(actual.sizes(), expected.sizes());
  if (expected.numel() == 0) return;
  const torch::Tensor exact = expected.detach().to(torch::kCPU, torch::kDouble);
  const torch::Tensor found = actual.detach().to(torch::kCPU, torch::kDouble);
  EXPECT_LE((found - exact).abs().max().item<double>(), relative * std::max(exact.abs().max().item<double>(), 1e-30));
}

inline void expect_close(const std::vector<torch::Tensor>& actual, const std::vector<torch::Tensor>& expected,
                         double relative) {
  ASSERT_EQ(actual.size(), expected.size());
  for (std::size_t i = 0; i < actual.size(); ++i) {
    SCOPED_TRACE("tensor " + std::to_string(i));
    expect_close(actual[i], expected[i], relative);
  }
}

inline void expect_same_bits(const std::vector<torch::Tensor>& actual, const std::vector<torch::Tensor>& expected) {
  ASSERT_EQ(actual.size(), expected.size());
  for (std::size_t i = 0; i < actual.size(); ++i) EXPECT_TRUE(torch::equal(actual[i], expected[i])) << "tensor " << i;
}

}  // namespace flowdarts::testing
