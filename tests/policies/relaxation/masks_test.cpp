// Relaxations under masks.

#include <gtest/gtest.h>

#include <cmath>
#include <flowdarts/policies/relaxation/masked.hpp>
#include <flowdarts/policies/relaxation/partial_channel.hpp>
#include <flowdarts/policies/relaxation/softmax.hpp>
#include <flowdarts/policies/relaxation/unnormalised.hpp>

namespace flowdarts {
namespace {

const auto doubles = torch::TensorOptions(torch::kDouble);
const torch::Tensor mask = torch::tensor({{1.0, 0.0, 1.0}, {1.0, 1.0, 1.0}, {0.0, 0.0, 0.0}}, doubles);

TEST(Softmax, UnderAMaskIsSoftmaxOfWhatIsLeft) {
  const torch::Tensor alpha =
      torch::tensor({{0.5, 9.0, -0.5}, {1.0, 2.0, 3.0}, {1.0, 2.0, 3.0}}, doubles).requires_grad_();
  const torch::Tensor weights = Softmax().op_weights(alpha, mask);
  const torch::Tensor two = torch::softmax(torch::tensor({0.5, -0.5}, doubles), 0);
  EXPECT_TRUE(torch::allclose(weights[0], torch::stack({two[0], torch::zeros({}, doubles), two[1]})));
  EXPECT_EQ(weights[0][1].item<double>(), 0.0);
  EXPECT_TRUE(torch::equal(weights[1], Softmax().op_weights(alpha)[1]));
  EXPECT_TRUE(torch::equal(weights[2], torch::zeros({3}, doubles)));
  // Of a loss that looks at all weights, no gradient reaches an alpha that is gone, and none is NaN.
  const torch::Tensor g = torch::autograd::grad({(weights * torch::arange(9, doubles).view({3, 3})).sum()}, {alpha})[0];
  EXPECT_TRUE(torch::isfinite(g).all().item<bool>());
  EXPECT_EQ(g[0][1].item<double>(), 0.0);
  EXPECT_TRUE(torch::equal(g[2], torch::zeros({3}, doubles)));
  EXPECT_GT(g[0].abs().sum().item<double>(), 0.0);
}

TEST(Masked, DividesByAllCandidatesOfAnEdge) {
  EXPECT_TRUE(torch::allclose(Masked().op_weights(mask), mask / 3.0));
}

TEST(PartialChannel, SoftensOpsByRowAndEdgesByNode) {
  const PartialChannel policy;
  const torch::Tensor alpha = torch::tensor({{0.5, 9.0, -0.5}, {1.0, 2.0, 3.0}, {1.0, 2.0, 3.0}}, doubles);
  EXPECT_TRUE(torch::equal(policy.op_weights(alpha, {3, 3, {}}), torch::softmax(alpha, 1)));
  EXPECT_TRUE(torch::equal(policy.op_weights(alpha, {3, 3, {}}, mask), Softmax().op_weights(alpha, mask)));
  const torch::Tensor eta = torch::tensor({0.3, 1.0, 3.0}, doubles).view({3, 1});
  const torch::Tensor gamma = policy.op_weights(eta, {3, 1, {1, 2}});
  EXPECT_EQ(gamma[0].item<double>(), 1.0);
  EXPECT_NEAR(gamma[1].item<double>(), 1.0 / (1.0 + std::exp(2.0)), 1e-15);
  EXPECT_NEAR((gamma[1] + gamma[2]).item<double>(), 1.0, 1e-15);
  EXPECT_FALSE(policy.trains_alpha(14, 50));
  EXPECT_TRUE(policy.trains_alpha(15, 50));
  EXPECT_THROW(policy.check(15), InputError);
}

TEST(Unnormalised, IsAlphaItself) {
  const torch::Tensor alpha =
      torch::tensor({{0.4, -0.3, 0.0}, {1.0, 2.0, 3.0}, {1.0, 1.0, 1.0}}, doubles).requires_grad_();
  const torch::Tensor weights = Unnormalised().op_weights(alpha);
  EXPECT_TRUE(torch::equal(weights, alpha));
  // Both of alpha and of the weights between it and the loss, as the arch step asks for them.
  const auto both = torch::autograd::grad({(weights * mask).sum()}, {alpha, weights});
  EXPECT_TRUE(torch::equal(both[0], mask));
  EXPECT_TRUE(torch::equal(both[1], mask));
  EXPECT_TRUE(torch::equal(Unnormalised().op_weights(alpha, mask), alpha * mask));
  EXPECT_EQ(Unnormalised().initial_alpha(5), 0.2);
}

}  // namespace
}  // namespace flowdarts
