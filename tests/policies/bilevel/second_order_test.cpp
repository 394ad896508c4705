// A bilevel problem with closed forms: L_T = 1/2 w'Aw + w'Ba, L_V = 1/2 |w - c|^2 + d'a, so that everything second
// order is exact.

#include <gtest/gtest.h>

#include <flowdarts/policies/bilevel/first_order.hpp>
#include <flowdarts/policies/bilevel/second_order.hpp>
#include <stdexcept>

namespace flowdarts {
namespace {

struct Toy {
  Toy() {
    torch::manual_seed(1);
    const auto o = torch::TensorOptions(torch::kDouble);
    const auto half = torch::randn({4, 4}, o);
    A = torch::matmul(half, half.t());
    B = torch::randn({4, 3}, o);
    c = torch::randn({4}, o);
    d = torch::randn({3}, o);
    w = torch::randn({4}, o).requires_grad_();
    a = torch::randn({3}, o).requires_grad_();
    problem.weights = {w};
    problem.alphas = {a};
    problem.weight_lr = 0.025;
    problem.weight_momentum = 0.9;
    problem.weight_decay = 3e-4;
    problem.train_loss = [this] {
      ++passes;
      return Evaluation{0.5 * torch::dot(w, torch::mv(A, w)) + torch::dot(w, torch::mv(B, a)), {}};
    };
    problem.val_loss = [this] {
      statistics_in_val = statistics;
      return Evaluation{0.5 * (w - c).pow(2).sum() + torch::dot(d, a), {}};
    };
    problem.set_statistics_updates = [this](bool on) { statistics = on; };
  }
  torch::Tensor A, B, c, d, w, a;
  BilevelProblem problem;
  int passes = 0;
  bool statistics = true;
  bool statistics_in_val = false;
};

TEST(SecondOrder, EqualsTheAnalyticMixedDerivative) {
  for (const bool with_momentum : {false, true}) {
    Toy toy;
    const torch::Tensor buffer = torch::randn({4}, torch::kDouble);
    if (with_momentum) toy.problem.momentum = {buffer};
    const ArchGradient result = SecondOrder().arch_gradient(toy.problem);
    const torch::NoGradGuard no_grad;
    torch::Tensor step = torch::mv(toy.A, toy.w) + torch::mv(toy.B, toy.a) + 3e-4 * toy.w;
    if (with_momentum) step = step + 0.9 * buffer;
    const torch::Tensor virtual_w = toy.w - 0.025 * step;
    const torch::Tensor v = virtual_w - toy.c;
    const torch::Tensor expected = toy.d - 0.025 * torch::mv(toy.B.t(), v);  // d2L_T/da dw = B'
    EXPECT_TRUE(torch::allclose(result.gradients[0], expected, 1e-9, 1e-12)) << result.gradients[0] << expected;
  }
}

TEST(SecondOrder, RestoresTheWeightsBitForBit) {
  Toy toy;
  const torch::Tensor before = toy.w.detach().clone();
  (void)SecondOrder().arch_gradient(toy.problem);
  EXPECT_TRUE(torch::equal(before, toy.w));
  EXPECT_EQ(toy.passes, 3);
}

TEST(SecondOrder, RestoresTheWeightsWhenAPassThrows) {
  Toy toy;
  const torch::Tensor before = toy.w.detach().clone();
  toy.problem.val_loss = []() -> Evaluation { throw std::runtime_error("injected"); };
  EXPECT_THROW((void)SecondOrder().arch_gradient(toy.problem), std::runtime_error);
  EXPECT_TRUE(torch::equal(before, toy.w));
  EXPECT_TRUE(toy.statistics);
}

TEST(SecondOrder, MovesRunningStatisticsOnlyInThePassOnV) {
  Toy toy;
  (void)SecondOrder().arch_gradient(toy.problem);
  EXPECT_TRUE(toy.statistics_in_val);
  EXPECT_TRUE(toy.statistics);
}

TEST(SecondOrder, WithoutAVirtualStepIsFirstOrder) {
  Toy toy;
  toy.problem.weight_lr = 0.0;
  const auto second = SecondOrder().arch_gradient(toy.problem).gradients[0];
  const auto first = FirstOrder().arch_gradient(toy.problem).gradients[0];
  EXPECT_TRUE(torch::equal(first, second));
}

TEST(SecondOrder, TakesWeightsThatNoLossReads) {
  Toy toy;
  const torch::Tensor expected = SecondOrder().arch_gradient(toy.problem).gradients[0];
  const torch::Tensor unused = torch::ones({2}, torch::kDouble).requires_grad_();
  toy.problem.weights.push_back(unused);
  EXPECT_TRUE(torch::allclose(SecondOrder().arch_gradient(toy.problem).gradients[0], expected, 1e-9, 1e-12));
  EXPECT_TRUE(torch::equal(unused, torch::ones({2}, torch::kDouble)));
}

TEST(SecondOrder, VanishingGradientGivesNoSecondOrderTerm) {
  Toy toy;
  toy.problem.val_loss = [&toy] { return Evaluation{torch::dot(toy.d, toy.a) + 0.0 * toy.w.sum(), {}}; };
  const auto gradient = SecondOrder().arch_gradient(toy.problem).gradients[0];
  EXPECT_TRUE(torch::equal(gradient, toy.d));
}

}  // namespace
}  // namespace flowdarts
