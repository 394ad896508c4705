#pragma once
// What the tests of single operators share.

#include <gtest/gtest.h>
#include <hwy/targets.h>
#include <torch/torch.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <vector>

namespace flowdarts::testing {

using Tensors = std::vector<torch::Tensor>;

/// [B, C, H, W] of random numbers in channels-last memory.
inline torch::Tensor random_images(std::int64_t batch, std::int64_t channels, std::int64_t height, std::int64_t width,
                                   torch::Dtype type) {
  return torch::randn({batch, channels, height, width}, torch::kDouble)
      .to(type)
      .contiguous(torch::MemoryFormat::ChannelsLast);
}

/// Both in double, relative to the largest element of `expected`.
inline void expect_close(const torch::Tensor& actual, const torch::Tensor& expected, double relative) {
  ASSERT_EQ(actual.sizes(), expected.sizes());
  if (expected.numel() == 0) return;
  const auto exact = expected.to(torch::kDouble);
  const double scale = std::max(exact.abs().max().item<double>(), 1e-30);
  EXPECT_LE((actual.to(torch::kDouble) - exact).abs().max().item<double>(), relative * scale);
}

inline void expect_close(const Tensors& actual, const Tensors& expected, double relative) {
  ASSERT_EQ(actual.size(), expected.size());
  for (std::size_t i = 0; i < actual.size(); ++i) {
    SCOPED_TRACE("tensor " + std::to_string(i));
    expect_close(actual[i], expected[i], relative);
  }
}

inline void expect_same_bits(const Tensors& actual, const Tensors& expected) {
  ASSERT_EQ(actual.size(), expected.size());
  for (std::size_t i = 0; i < actual.size(); ++i) EXPECT_TRUE(torch::equal(actual[i], expected[i])) << "tensor " << i;
}

/// f(inputs) and the gradients of sum(g f(inputs)) with respect to the inputs.
inline Tensors with_gradients(const std::function<torch::Tensor(const Tensors&)>& f, const Tensors& inputs,
                              const torch::Tensor& g) {
  Tensors leaves;
  for (const auto& input : inputs) leaves.push_back(input.detach().requires_grad_());
  const torch::Tensor out = f(leaves);
  Tensors results = torch::autograd::grad({out}, leaves, {g});
  results.insert(results.begin(), out.detach());
  return results;
}

/// The same in double, from the same numbers.
inline Tensors with_gradients_in_double(const std::function<torch::Tensor(const Tensors&)>& f, const Tensors& inputs,
                                        const torch::Tensor& g) {
  Tensors exact;
  for (const auto& input : inputs) exact.push_back(input.to(torch::kDouble).contiguous());
  return with_gradients(f, exact, g.to(torch::kDouble).contiguous());
}

/// What an operator of ours may differ by from the exact result.
inline double tolerance(torch::Dtype type) {
  return type == torch::kDouble ? 1e-10 : type == torch::kFloat ? 1e-4 : 3e-2;
}

/// Checks the gradients of f in double against central differences.
inline void expect_gradients_of_differences(const std::function<torch::Tensor(const Tensors&)>& f,
                                            const Tensors& inputs, const torch::Tensor& g) {
  const Tensors results = with_gradients(f, inputs, g);
  const torch::NoGradGuard no_grad;
  constexpr double step = 1e-6;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    SCOPED_TRACE("input " + std::to_string(i));
    torch::Tensor differences = torch::empty_like(inputs[i], torch::MemoryFormat::Contiguous).flatten();
    for (std::int64_t j = 0; j < differences.numel(); ++j) {
      const auto loss = [&](double change) {
        Tensors moved = inputs;
        moved[i] = inputs[i].clone(torch::MemoryFormat::Contiguous);
        moved[i].flatten()[j] += change;
        return (g * f(moved)).sum().item<double>();
      };
      differences[j] = (loss(step) - loss(-step)) / (2 * step);
    }
    expect_close(results[i + 1], differences.view(inputs[i].sizes()), 1e-7);
  }
}

/// Runs f once for every instruction set this CPU has and once for none, and compares the results with those of none.
inline void expect_variants_agree(const std::function<Tensors()>& f, double relative) {
  struct Restore {
    ~Restore() { hwy::GetChosenTarget().DeInit(); }
  } restore;
  hwy::GetChosenTarget().Update(0);
  const Tensors plain = f();
  for (const std::int64_t target : hwy::SupportedAndGeneratedTargets()) {
    SCOPED_TRACE(hwy::TargetName(target));
    hwy::GetChosenTarget().Update(target);
    expect_close(f(), plain, relative);
  }
}

/// Runs f with 1, 2 and 3 threads and expects the same bits.
inline void expect_same_for_any_threads(const std::function<Tensors()>& f) {
  struct Restore {
    int threads = at::get_num_threads();
    ~Restore() { at::set_num_threads(threads); }
  } restore;
  at::set_num_threads(1);
  const Tensors alone = f();
  for (const int threads : {2, 3}) {
    SCOPED_TRACE(std::to_string(threads) + " threads");
    at::set_num_threads(threads);
    expect_same_bits(f(), alone);
  }
}

}  // namespace flowdarts::testing
