// The optimisers on a GPU against the same on a CPU.

#include <gtest/gtest.h>

#include <flowdarts/stages/arch_step/adam.hpp>
#include <flowdarts/stages/weight_step/sgd.hpp>
#include <vector>

#include "../../no_synchronisation.hpp"

namespace flowdarts {
namespace {

using torch::Tensor;
using Tensors = std::vector<Tensor>;

/// Channels-last, small and large, an empty one, more tensors than one launch takes.
Tensors some_weights(at::ScalarType type) {
  Tensors weights{torch::randn({16, 3, 3, 3}), torch::randn({64, 64, 3, 3}), torch::empty({0}), torch::randn({7})};
  for (int i = 0; i < 250; ++i) weights.push_back(torch::randn({1 + i % 13, 16, 1, 1 + i % 3}));
  weights.push_back(torch::randn({2048}));
  for (Tensor& weight : weights) {
    weight = weight.to(type);
    if (weight.dim() == 4) weight = weight.contiguous(torch::MemoryFormat::ChannelsLast);
  }
  return weights;
}

Tensors moved(const Tensors& tensors, torch::Device device) {
  Tensors result;
  for (const Tensor& tensor : tensors) {
    result.push_back(tensor.defined() ? tensor.detach().to(device, /*non_blocking=*/false, /*copy=*/true) : tensor);
  }
  return result;
}

void expect_close(const Tensors& ours, const Tensors& theirs, at::ScalarType type) {
  ASSERT_EQ(ours.size(), theirs.size());
  for (std::size_t k = 0; k < ours.size(); ++k) {
    if (theirs[k].numel() == 0) continue;
    const double difference = (ours[k].cpu() - theirs[k].cpu()).abs().max().item<double>();
    EXPECT_LE(difference, (type == torch::kDouble ? 1e-10 : 1e-5) * theirs[k].abs().max().item<double>()) << k;
  }
}

class OptimizersOnGpu : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!torch::cuda::is_available()) GTEST_SKIP() << "no GPU in this machine";
    torch::manual_seed(5);
  }
};

TEST_F(OptimizersOnGpu, SgdAgreesWithTheCpuAndRepeats) {
  for (const at::ScalarType type : {torch::kDouble, torch::kFloat}) {
    for (const bool nesterov : {false, true}) {
      for (const double clip : {0.0, 5.0}) {
        SCOPED_TRACE(c10::str(type, " nesterov ", nesterov, " clip ", clip));
        WeightOptions options;
        options.nesterov = nesterov;
        options.clip = clip;
        const Tensors start = some_weights(type);
        const Tensors host = moved(start, torch::kCPU), device = moved(start, torch::kCUDA),
                      again = moved(start, torch::kCUDA);
        Sgd on_host(host, options), on_device(device, options), repeated(again, options);
        for (int step = 0; step < 6; ++step) {
          Tensors gradients;
          for (const Tensor& weight : start) {
            // The norm of all is above the clip, then below it; the memory order is that of NCHW now and then.
            gradients.push_back(torch::randn(weight.sizes(), weight.options()) * (step % 2 == 0 ? 1.0 : 0.001));
            if (step % 3 == 0) gradients.back() = torch::empty_like(weight).copy_(gradients.back());
          }
          gradients[3] = Tensor();
          const Tensors on_gpu = moved(gradients, torch::kCUDA);
          on_host.step(gradients, 0.1);
          const testing::NoSynchronisation none;
          on_device.step(on_gpu, 0.1);
          repeated.step(on_gpu, 0.1);
        }
        expect_close(device, host, type);
        expect_close(on_device.momentum(), on_host.momentum(), type);
        for (std::size_t k = 0; k < device.size(); ++k) EXPECT_TRUE(torch::equal(device[k], again[k])) << k;
      }
    }
  }
}

TEST_F(OptimizersOnGpu, SgdMakesWhatAutogradSavedStale) {
  const Tensor weight = torch::randn({3}, torch::kCUDA).requires_grad_();
  Sgd sgd({weight}, WeightOptions());
  const Tensor loss = (weight * weight).sum();
  sgd.step({torch::ones({3}, torch::kCUDA)}, 0.1);
  EXPECT_THROW(loss.backward(), c10::Error);
}

TEST_F(OptimizersOnGpu, SgdPassesNaNOfTheNormOn) {
  const Tensor weight = torch::zeros({3}, torch::kCUDA);
  Sgd sgd({weight}, WeightOptions());
  sgd.step({torch::full({3}, std::nan(""), torch::kCUDA)}, 0.1);
  EXPECT_TRUE(weight.isnan().all().item<bool>());
}

TEST_F(OptimizersOnGpu, AdamAgreesWithTheCpuAndRepeats) {
  for (const at::ScalarType type : {torch::kDouble, torch::kFloat}) {
    const Tensors start = some_weights(type);
    const Tensors host = moved(start, torch::kCPU), device = moved(start, torch::kCUDA),
                  again = moved(start, torch::kCUDA);
    Adam on_host(host, ArchOptions()), on_device(device, ArchOptions()), repeated(again, ArchOptions());
    for (int step = 0; step < 6; ++step) {
      Tensors gradients;
      for (const Tensor& weight : start) gradients.push_back(torch::randn(weight.sizes(), weight.options()));
      const Tensors on_gpu = moved(gradients, torch::kCUDA);
      on_host.step(gradients);
      const testing::NoSynchronisation none;
      on_device.step(on_gpu);
      repeated.step(on_gpu);
    }
    expect_close(device, host, type);
    expect_close(on_device.first_moment(), on_host.first_moment(), type);
    expect_close(on_device.second_moment(), on_host.second_moment(), type);
    for (std::size_t k = 0; k < device.size(); ++k) EXPECT_TRUE(torch::equal(device[k], again[k])) << k;
  }
}

TEST_F(OptimizersOnGpu, RefuseGradientsOnAnotherDevice) {
  const Tensor weight = torch::zeros({3}, torch::kCUDA);
  Sgd sgd({weight}, WeightOptions());
  EXPECT_THROW(sgd.step({torch::ones({3})}, 0.1), c10::Error);
}

}  // namespace
}  // namespace flowdarts
