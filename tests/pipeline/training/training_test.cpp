// The parts of a training that compute with tensors.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <flowdarts/pipeline/training/evaluation.hpp>
#include <flowdarts/pipeline/training/loss.hpp>
#include <flowdarts/pipeline/training/weight_average.hpp>
#include <flowdarts/stages/load/memory_dataset.hpp>
#include <flowdarts/stages/weight_step/rmsprop.hpp>

namespace flowdarts {
namespace {

const StandAlone tiny{
    read_architecture("|nor_conv_3x3~0|+|none~0|skip_connect~1|+|avg_pool_3x3~0|nor_conv_1x1~1|none~2|"),
    {.classes = 7, .image_size = 8, .channels = 2, .cells = 1}};

TEST(TrainingLoss, SmoothsLabels) {
  const torch::Tensor logits = torch::tensor({2.0, 0.0, 0.0, 0.0}, torch::kDouble).view({1, 4});
  const torch::Tensor label = torch::tensor({0});
  const double log_sum = std::log(std::exp(2.0) + 3);
  // Of four classes at 0.1, the label gets 0.925 and the others 0.025.
  EXPECT_NEAR(training_loss({.logits = logits}, label, 0.1, 0).item<double>(),
              0.925 * (log_sum - 2) + 3 * 0.025 * log_sum, 1e-12);
  EXPECT_NEAR(training_loss({.logits = logits}, label, 0, 0).item<double>(), log_sum - 2, 1e-12);
}

TEST(TrainingLoss, AddsTheAuxiliaryClassifiers) {
  const torch::Tensor logits = torch::zeros({2, 4}), auxiliary = torch::tensor({3.0F, 0.0F, 0.0F, 0.0F}).repeat({2, 1});
  const torch::Tensor labels = torch::tensor({1, 0});
  const double other = training_loss({.logits = auxiliary}, labels, 0.1, 0).item<double>();
  EXPECT_NEAR(training_loss({logits, auxiliary}, labels, 0.1, 0.4).item<double>(), std::log(4) + 0.4 * other, 1e-6);
}

TEST(RmsPropTest, IsTensorFlows) {
  torch::Tensor w = torch::tensor({1.0, -2.0}, torch::kDouble);
  RmsProp optimizer({w}, {.momentum = 0.9, .weight_decay = 0.1, .decay = 0.9, .epsilon = 1e-3});
  double s[2] = {1, 1}, m[2] = {0, 0}, expected[2] = {1, -2};
  const double gradients[3][2] = {{0.5, 0.2}, {-1.0, 0.0}, {0.3, 4.0}};
  for (const auto& gradient : gradients) {
    for (int i = 0; i < 2; ++i) {
      const double g = gradient[i] + 0.1 * expected[i];
      s[i] = 0.9 * s[i] + 0.1 * g * g;
      m[i] = 0.9 * m[i] + 0.05 * g / std::sqrt(s[i] + 1e-3);
      expected[i] -= m[i];
    }
    optimizer.step({torch::tensor({gradient[0], gradient[1]}, torch::kDouble)}, 0.05);
    for (int i = 0; i < 2; ++i) EXPECT_NEAR(w[i].item<double>(), expected[i], 1e-12);
  }
}

TEST(RmsPropTest, ClipsAndTakesNoGradientAsZero) {
  torch::Tensor w = torch::zeros({2}, torch::kDouble), still = torch::ones({1}, torch::kDouble);
  RmsProp optimizer({w, still}, {.momentum = 0, .decay = 0, .epsilon = 1, .clip = 1});
  optimizer.step({torch::tensor({30.0, 40.0}, torch::kDouble), torch::Tensor()}, 1);
  EXPECT_NEAR(w[0].item<double>(), -0.6 / std::sqrt(1.36), 1e-6);
  EXPECT_NEAR(w[1].item<double>(), -0.8 / std::sqrt(1.64), 1e-6);
  EXPECT_EQ(still.item<double>(), 1);
}

TEST(WeightAverageTest, FollowsWeightsAndStatistics) {
  const torch::NoGradGuard no_grad;
  const StandAloneNetwork network(tiny);
  for (torch::Tensor& weight : network.module().parameters()) weight.fill_(1);
  WeightAverage average(tiny, network, 0.9);
  for (torch::Tensor& weight : network.module().parameters()) weight.fill_(2);
  for (torch::Tensor& statistic : network.module().buffers()) statistic.fill_(11);
  average.update(network);
  average.update(network);
  const torch::nn::Module& averaged = average.network().module();
  // 2 - 0.9^2 from 1; the variance from 1, the mean from 0.
  for (const torch::Tensor& weight : averaged.parameters()) {
    EXPECT_TRUE(weight.allclose(torch::full({1}, 1.19F))) << weight;
  }
  EXPECT_TRUE(averaged.named_buffers()["backbone.last_norm.running_var"].allclose(torch::full({1}, 2.9F)));
  EXPECT_TRUE(averaged.named_buffers()["backbone.last_norm.running_mean"].allclose(torch::full({1}, 2.09F)));
  EXPECT_TRUE(network.module().parameters().front().allclose(torch::full({1}, 2.0F)));
}

/// Black images of 8 x 8, `counts[c]` of class c.
std::shared_ptr<const Dataset> black_images(const std::vector<int>& counts) {
  MemoryDataset::Facts facts;
  facts.name = "black";
  for (std::size_t c = 0; c < counts.size(); ++c) {
    facts.class_names.push_back(std::to_string(c));
    facts.labels.insert(facts.labels.end(), static_cast<std::size_t>(counts[c]), static_cast<std::int32_t>(c));
  }
  facts.geometry = {8, true};
  facts.normalisation = {{0.5F, 0.5F, 0.5F}, {1, 1, 1}};
  constexpr std::size_t bytes = 3 * 8 * 8;
  std::vector<std::uint8_t> pixels(facts.labels.size() * bytes, 0);
  return std::make_shared<MemoryDataset>(
      std::move(facts), std::move(pixels), bytes,
      [](const std::uint8_t* stored, Image& out) { std::memcpy(out.pixels.data(), stored, out.pixels.size()); });
}

TEST(Evaluate, CountsTheBestAndTheFiveBestClasses) {
  const StandAloneNetwork network(tiny);
  {
    const torch::NoGradGuard no_grad;
    network.module().named_parameters()["backbone.classifier.weight"].zero_();
    // Class 2 first, then 5, 0, 1, 6, and 3 and 4 last.
    network.module().named_parameters()["backbone.classifier.bias"].copy_(
        torch::tensor({4.0F, 3.0F, 9.0F, 0.0F, 1.0F, 5.0F, 2.0F}));
  }
  const auto images = black_images({1, 0, 3, 4, 2, 1, 0});
  const BatchLoader loader(images, {.padding = 0}, 0, {});
  for (const std::int64_t batch_size : {1, 4, 100}) {
    for (const int threads : {1, 3}) {
      const TestResult result = evaluate(network, loader, images->size(), batch_size, threads, torch::kCPU);
      EXPECT_EQ(result.images, 11);
      EXPECT_EQ(result.correct, 3);
      EXPECT_EQ(result.in_top5, 5);
      double sum = 0;
      for (const double logit : {4, 3, 9, 0, 1, 5, 2}) sum += std::exp(logit);
      EXPECT_NEAR(result.loss, std::log(sum) - (4 + 3 * 9 + 2 * 1 + 5) / 11.0, 1e-5);
    }
  }
  EXPECT_FALSE(network.module().is_training());
}

}  // namespace
}  // namespace flowdarts
