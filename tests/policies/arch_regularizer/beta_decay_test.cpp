#include <gtest/gtest.h>

#include <cmath>
#include <flowdarts/policies/arch_regularizer/beta_decay.hpp>

namespace flowdarts {
namespace {

const auto doubles = torch::TensorOptions(torch::kDouble);

torch::Tensor gradient(const BetaDecay& policy, const torch::Tensor& alpha, std::int64_t epoch,
                       const std::vector<torch::Tensor>& masks = {}) {
  return torch::autograd::grad({policy.loss({alpha}, masks, epoch)}, {alpha})[0];
}

TEST(BetaDecay, IsTheMeanLogSumExpTimesLambda) {
  const BetaDecay policy;
  EXPECT_EQ(policy.lambda(0), 0.0);
  EXPECT_EQ(policy.lambda(99), 49.5);
  // Rows of zeros: log 4. A row of ln 1, ln 2, ln 3, ln 4: log 10.
  const torch::Tensor alpha =
      torch::stack({torch::zeros({4}, doubles), torch::tensor({1.0, 2.0, 3.0, 4.0}, doubles).log()});
  EXPECT_NEAR(policy.loss({alpha}, {}, 2).item<double>(), (std::log(4.0) + std::log(10.0)) / 2.0, 1e-14);
  // One term a matrix, each a mean over its own rows.
  EXPECT_NEAR(policy.loss({alpha, torch::zeros({3, 2}, doubles)}, {}, 2).item<double>(),
              (std::log(4.0) + std::log(10.0)) / 2.0 + std::log(2.0), 1e-14);
}

TEST(BetaDecay, LayersOfAChainShareOneMean) {
  const torch::Tensor two = torch::zeros({1, 2}, doubles), eight = torch::zeros({1, 8}, doubles);
  EXPECT_NEAR(BetaDecay().loss({two, eight}, {}, 2).item<double>(), (std::log(2.0) + std::log(8.0)) / 2.0, 1e-14);
  // Weights of edges rank no ops.
  EXPECT_NEAR(BetaDecay().loss({torch::zeros({3, 2}, doubles), torch::ones({3, 1}, doubles)}, {}, 2).item<double>(),
              std::log(2.0), 1e-14);
}

TEST(BetaDecay, GradientIsSoftmaxOverTheNumberOfRows) {
  torch::manual_seed(3);
  const BetaDecay policy;
  const torch::Tensor alpha = torch::randn({6, 5}, doubles).requires_grad_();
  const torch::Tensor g = gradient(policy, alpha, 7);
  EXPECT_TRUE(torch::allclose(g, 3.5 * torch::softmax(alpha, 1) / 6.0, 1e-12, 1e-15));
  EXPECT_TRUE(torch::allclose(g.sum(1), torch::full({6}, 3.5 / 6.0, doubles), 1e-12));
  EXPECT_TRUE(torch::equal(gradient(policy, alpha, 0), torch::zeros({6, 5}, doubles)));
}

TEST(BetaDecay, DoesNotOverflow) {
  const torch::Tensor alpha = torch::tensor({{800.0F, -800.0F, 799.0F}}).requires_grad_();
  const torch::Tensor g = gradient(BetaDecay(), alpha, 2);
  EXPECT_NEAR(BetaDecay().loss({alpha}, {}, 2).item<double>(), 800.0 + std::log1p(std::exp(-1.0)), 1e-4);
  EXPECT_TRUE(torch::isfinite(g).all().item<bool>());
}

TEST(BetaDecay, LeavesOutOpsThatAreGoneAndEdgesWithoutAny) {
  const torch::Tensor alpha =
      torch::tensor({{1.0, 5.0, 2.0}, {7.0, 7.0, 7.0}, {0.0, 0.0, 0.0}}, doubles).requires_grad_();
  const torch::Tensor mask = torch::tensor({{1.0, 0.0, 1.0}, {0.0, 0.0, 0.0}, {1.0, 1.0, 1.0}}, doubles);
  const BetaDecay policy;
  EXPECT_NEAR(policy.loss({alpha}, {mask}, 2).item<double>(),
              (std::log(std::exp(1.0) + std::exp(2.0)) + std::log(3.0)) / 2.0, 1e-14);
  const torch::Tensor g = gradient(policy, alpha, 2, {mask});
  const double first = std::exp(1.0) / (std::exp(1.0) + std::exp(2.0));
  EXPECT_TRUE(torch::allclose(
      g, torch::tensor({{first / 2, 0.0, (1 - first) / 2}, {0.0, 0.0, 0.0}, {1.0 / 6, 1.0 / 6, 1.0 / 6}}, doubles),
      1e-12, 1e-15));
}

}  // namespace
}  // namespace flowdarts
