#include <gtest/gtest.h>

#include <cmath>
#include <flowdarts/policies/arch_regularizer/none.hpp>
#include <flowdarts/policies/bilevel/first_order.hpp>
#include <flowdarts/policies/relaxation/softmax.hpp>
#include <flowdarts/stages/arch_step/arch_step.hpp>
#include <flowdarts/stages/arch_step/hessian.hpp>

namespace flowdarts {
namespace {

std::vector<torch::Tensor> some_weights() {
  torch::manual_seed(3);
  return {torch::randn({4, 3}, torch::kDouble).requires_grad_(), torch::randn({5}, torch::kDouble).requires_grad_()};
}

std::vector<torch::Tensor> copies(const std::vector<torch::Tensor>& tensors) {
  std::vector<torch::Tensor> result;
  for (const auto& tensor : tensors) result.push_back(tensor.detach().clone().requires_grad_());
  return result;
}

TEST(Sgd, MovesAsLibTorchsDoes) {
  for (const bool nesterov : {false, true}) {
    const auto ours = some_weights();
    const auto theirs = copies(ours);
    WeightOptions options;
    options.nesterov = nesterov;
    options.clip = 0.0;
    Sgd sgd(ours, options);
    torch::optim::SGD reference(theirs,
                                torch::optim::SGDOptions(0.025).momentum(0.9).weight_decay(3e-4).nesterov(nesterov));
    for (int i = 0; i < 5; ++i) {
      std::vector<torch::Tensor> gradients;
      for (std::size_t k = 0; k < ours.size(); ++k) {
        gradients.push_back(torch::randn_like(ours[k]).detach());
        torch::Tensor(theirs[k]).mutable_grad() = gradients[k].clone();
      }
      sgd.step(gradients, 0.025);
      reference.step();
      for (std::size_t k = 0; k < ours.size(); ++k) EXPECT_TRUE(torch::allclose(ours[k], theirs[k], 1e-13, 1e-15));
    }
  }
}

TEST(ClipNorm, ScalesTheGradientsTogetherAndOnlyDown) {
  std::vector<torch::Tensor> gradients{torch::full({4}, 3.0, torch::kDouble), torch::full({1}, 8.0, torch::kDouble)};
  clip_norm(gradients, 5.0);  // norm 10
  EXPECT_NEAR(gradients[0][0].item<double>(), 1.5, 1e-6);
  EXPECT_NEAR(gradients[1][0].item<double>(), 4.0, 1e-6);
  clip_norm(gradients, 50.0);
  EXPECT_NEAR(gradients[1][0].item<double>(), 4.0, 1e-6);
}

TEST(Adam, MovesAsLibTorchsDoes) {
  const auto ours = some_weights();
  const auto theirs = copies(ours);
  Adam adam(ours, ArchOptions{});
  torch::optim::Adam reference(theirs,
                               torch::optim::AdamOptions(3e-4).betas(std::make_tuple(0.5, 0.999)).weight_decay(1e-3));
  for (int i = 0; i < 5; ++i) {
    std::vector<torch::Tensor> gradients;
    for (std::size_t k = 0; k < ours.size(); ++k) {
      gradients.push_back(torch::randn_like(ours[k]).detach());
      torch::Tensor(theirs[k]).mutable_grad() = gradients[k].clone();
    }
    adam.step(gradients);
    reference.step();
    for (std::size_t k = 0; k < ours.size(); ++k) EXPECT_TRUE(torch::allclose(ours[k], theirs[k], 1e-12, 1e-15));
  }
}

TEST(CosineLr, StartsFullAndIsHalfwayInTheMiddle) {
  const WeightOptions options;
  EXPECT_DOUBLE_EQ(cosine_lr(options, 0, 50), 0.025);
  EXPECT_NEAR(cosine_lr(options, 25, 50), 0.013, 1e-12);
  EXPECT_GT(cosine_lr(options, 49, 50), 0.001);
}

TEST(PackResults, ErrorIsTheDistanceToTheLabel) {
  // Probabilities (0.7, 0.2, 0.1), label 0: sqrt(0.09 + 0.04 + 0.01).
  const torch::Tensor logits = torch::log(torch::tensor({{0.7, 0.2, 0.1}, {0.0, 1.0, 0.0}}, torch::kDouble));
  const torch::Tensor packed = pack_results(torch::tensor(0.5), logits, torch::tensor({0, 0}, torch::kLong));
  EXPECT_NEAR(packed[0].item<double>(), 0.5, 1e-7);
  EXPECT_EQ(packed[1].item<double>(), 1.0);
  EXPECT_NEAR(packed[2].item<double>(), 0.37417, 1e-5);
  EXPECT_NEAR(packed[3].item<double>(), std::sqrt(2.0), 1e-6);
}

TEST(DominantEigenvalues, OfAQuadraticAreExactAndAlphaIsRestored) {
  const torch::Tensor a = torch::tensor({{1.0, -2.0}}, torch::kDouble).requires_grad_();
  const torch::Tensor b = torch::tensor({{0.5}}, torch::kDouble).requires_grad_();
  const torch::Tensor before = a.detach().clone();
  // L = 2 a0^2 - 5 a1^2 / 2 + b^2 / 2: eigenvalues 4, -5, 1.
  const auto gradient = [&] {
    const torch::Tensor loss = 2.0 * a[0][0].pow(2) - 2.5 * a[0][1].pow(2) + 0.5 * b.pow(2).sum();
    return torch::autograd::grad({loss}, {a, b});
  };
  const auto [largest, dominant] = dominant_eigenvalues({a, b}, gradient);
  EXPECT_NEAR(largest, 4.0, 1e-9);
  EXPECT_NEAR(dominant, -5.0, 1e-9);
  EXPECT_TRUE(torch::equal(a, before));
}

/// logits = (sum_o weight_o * x * w_o) for each of two classes: small enough to follow by hand.
class TinySupernet : public Supernet {
 public:
  TinySupernet() { w = register_parameter("w", torch::tensor({0.5F, -0.25F, 1.5F})); }
  torch::Tensor forward(const torch::Tensor& images, const std::vector<torch::Tensor>& op_weights) override {
    const torch::Tensor mixed = (op_weights[0][0] * w).sum() * images.mean({1, 2, 3});
    return torch::stack({mixed, -mixed}, 1);
  }
  [[nodiscard]] std::vector<ArchShape> arch_shapes() const override { return {{1, 3}}; }
  void set_statistics_updates(bool) override {}
  torch::Tensor w;
};

TEST(Steps, AnArchStepLeavesTheWeightsAloneAndAWeightStepAlpha) {
  TinySupernet net;
  const auto alphas = initial_alphas(net.arch_shapes(), 1e-3, 7);
  const WeightOptions weight_options;
  WeightStep weight_step(net, weight_options);
  ArchStep<Softmax, FirstOrder, NoArchRegularizer> arch_step(net, alphas, ArchOptions{}, Softmax{}, FirstOrder{},
                                                             NoArchRegularizer{});
  const DeviceBatch batch{torch::ones({2, 3, 4, 4}), torch::tensor({0, 1}, torch::kLong)};

  const torch::Tensor w = net.w.detach().clone();
  const torch::Tensor alpha = alphas[0].detach().clone();
  torch::Tensor seen;
  arch_step(
      batch, batch, weight_step.optimizer(), weight_options, 0.025, 0, [](const torch::Tensor&) {},
      [&](const auto& gradients) { seen = gradients[0]; });
  EXPECT_TRUE(torch::equal(net.w, w));
  EXPECT_FALSE(net.w.grad().defined());
  EXPECT_FALSE(torch::equal(alphas[0], alpha));
  // Softmax: the gradients of a row sum to zero.
  EXPECT_NEAR(seen.sum().item<double>(), 0.0, 1e-7);

  const torch::Tensor moved = alphas[0].detach().clone();
  torch::Tensor results;
  weight_step({batch.images, torch::tensor({0, 0}, torch::kLong)}, arch_step.op_weights(), 0.025,
              [&](const torch::Tensor& packed) { results = packed; });
  EXPECT_TRUE(torch::equal(alphas[0], moved));
  EXPECT_FALSE(alphas[0].grad().defined());
  EXPECT_FALSE(torch::equal(net.w, w));
  EXPECT_EQ(results.size(0), 4);
}

}  // namespace
}  // namespace flowdarts
