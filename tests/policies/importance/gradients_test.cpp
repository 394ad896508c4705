// Importances read off arch steps, against their definitions on a mixture of which every tensor is known.

#include <gtest/gtest.h>

#include <flowdarts/policies/bilevel/first_order.hpp>
#include <flowdarts/policies/importance/naive_pruning.hpp>
#include <flowdarts/policies/importance/operation_strength.hpp>
#include <flowdarts/policies/importance/operation_strength_star.hpp>
#include <flowdarts/policies/relaxation/softmax.hpp>
#include <flowdarts/spaces/support/error.hpp>

namespace flowdarts {
namespace {

const auto doubles = torch::TensorOptions(torch::kDouble);

/// Two cells that share one alpha of two edges and four ops, of which the first gives zeros; the second cell mixes
/// other features. L_V = sum over cells and edges of (obar . target)^2.
struct Mixture {
  explicit Mixture(std::uint64_t seed) {
    torch::manual_seed(static_cast<std::int64_t>(seed));
    features = torch::randn({2, 2, 4, 7}, doubles);
    features.select(2, 0).zero_();
    targets = torch::randn({2, 2, 7}, doubles);
    alpha = torch::randn({2, 4}, doubles).requires_grad_();
  }

  [[nodiscard]] ArchGradient arch_gradient() const {
    BilevelProblem problem;
    problem.alphas = {alpha};
    problem.val_loss = [&] {
      const torch::Tensor weights = Softmax().op_weights(alpha);
      return Evaluation{loss_of(mixed(weights)), {}, {weights}};
    };
    return FirstOrder().arch_gradient(problem);
  }

  [[nodiscard]] torch::Tensor mixed(const torch::Tensor& weights) const {
    return (features * weights.unsqueeze(0).unsqueeze(3)).sum(2);  // [cells, edges, 7]
  }
  [[nodiscard]] torch::Tensor loss_of(const torch::Tensor& obar) const { return (obar * targets).sum(2).pow(2).sum(); }

  /// <dL/dobar, x> of each edge and op, the cells' inner products summed: [2, 4]. x [cells, edges, ops, 7].
  [[nodiscard]] torch::Tensor inner(const std::function<torch::Tensor(const torch::Tensor& obar)>& x) const {
    const torch::Tensor obar = mixed(torch::softmax(alpha, 1)).detach().requires_grad_();
    const torch::Tensor g = torch::autograd::grad({loss_of(obar)}, {obar})[0];
    return (g.unsqueeze(2) * x(obar.detach())).sum(3).sum(0);
  }

  torch::Tensor features, targets, alpha;
};

template <class Policy>
torch::Tensor score_of(const Mixture& mixture) {
  Policy policy;
  policy.begin_epoch();
  policy.observe_arch_gradient(mixture.arch_gradient());
  return policy.scores({}).at(0);
}

TEST(OperationStrength, IsTheChangeThatSelectingAnOpMakes) {
  const Mixture mixture(1);
  const torch::Tensor beta = torch::softmax(mixture.alpha, 1).detach();
  const torch::Tensor change =
      mixture.inner([&](const torch::Tensor& obar) { return mixture.features - obar.unsqueeze(2); });
  EXPECT_TRUE(torch::allclose(score_of<OperationStrength>(mixture), beta * change.abs(), 1e-10, 1e-14));
  EXPECT_TRUE(torch::allclose(score_of<OperationStrengthStar>(mixture), change.abs(), 1e-10, 1e-14));
  EXPECT_TRUE(torch::allclose(score_of<OperationStrengthStar>(mixture) * beta, score_of<OperationStrength>(mixture)));
}

TEST(OperationStrength, TheGradientsOfAnEdgeSumToZero) {
  const ArchGradient arch = Mixture(2).arch_gradient();
  EXPECT_TRUE(torch::allclose(arch.gradients[0].sum(1), torch::zeros({2}, doubles), 0, 1e-12));
  EXPECT_GT(arch.gradients[0].abs().min().item<double>(), 1e-6);
}

TEST(OperationStrength, DoublesWithTheGradient) {
  Mixture mixture(3);
  const torch::Tensor once = score_of<OperationStrength>(mixture);
  mixture.targets = mixture.targets * std::sqrt(2.0);
  EXPECT_TRUE(torch::allclose(score_of<OperationStrength>(mixture), 2.0 * once, 1e-10));
}

TEST(OperationStrength, CannotRankTwo) {
  EXPECT_THROW(OperationStrength::check_columns(2), InputError);
  EXPECT_NO_THROW(OperationStrength::check_columns(3));
}

TEST(NaivePruning, IsTheChangeThatRemovingAnOpMakes) {
  const Mixture mixture(4);
  const torch::Tensor beta = torch::softmax(mixture.alpha, 1).detach();
  const torch::Tensor change = mixture.inner([&](const torch::Tensor&) { return mixture.features; });
  const torch::Tensor naive = score_of<NaivePruning>(mixture);
  EXPECT_TRUE(torch::allclose(naive, (beta * change).abs(), 1e-10, 1e-14));
  EXPECT_EQ(naive[0][0].item<double>(), 0.0) << "removing `none` changes nothing";
  EXPECT_EQ(naive[1][0].item<double>(), 0.0);
  EXPECT_GT(naive[0][1].item<double>(), 0.0);
}

ArchGradient steps_gradient(double a, double b) {
  ArchGradient arch;
  arch.gradients = {torch::tensor({{a, b, -a - b}}, doubles)};
  arch.val.op_weights = {torch::tensor({{0.5, 0.25, 0.25}}, doubles)};
  arch.op_weight_gradients = {torch::tensor({{2 * a, b, 0.0}}, doubles)};
  return arch;
}

/// What saves and loads, as checkpoints do.
struct Tape {
  std::vector<double> numbers;
  std::size_t at = 0;
  template <class T>
  void put(T value) {
    numbers.push_back(static_cast<double>(value));
  }
  void put_vector(const std::vector<double>& values) {
    put(values.size());
    numbers.insert(numbers.end(), values.begin(), values.end());
  }
  template <class T>
  T get() {
    return static_cast<T>(numbers.at(at++));
  }
  template <class T>
  std::vector<T> get_vector() {
    std::vector<T> values(get<std::size_t>());
    for (T& value : values) value = get<T>();
    return values;
  }
  [[noreturn]] void fail(const std::string& what) { throw InputError(what); }
};

TEST(GradientImportances, AverageAbsoluteValuesOverTheEpochsSteps) {
  OperationStrength strength;
  EXPECT_TRUE(strength.scores({}).empty()) << "nothing is known before the first step";
  strength.observe_arch_gradient(steps_gradient(100, 100));
  strength.begin_epoch();
  EXPECT_TRUE(strength.scores({}).empty());
  strength.observe_arch_gradient(steps_gradient(1, 2));

  Tape tape;
  strength.save(tape);
  OperationStrength resumed;
  resumed.load(tape);
  EXPECT_EQ(tape.at, tape.numbers.size());
  for (OperationStrength* policy : {&strength, &resumed}) {
    policy->observe_arch_gradient(steps_gradient(-1, 4));  // the signed mean of the first op is 0
    EXPECT_TRUE(torch::equal(policy->scores({}).at(0), torch::tensor({{1.0, 3.0, 3.0}}, doubles)));
  }
  OperationStrengthStar star;
  NaivePruning naive;
  for (const double sign : {1.0, -1.0}) {
    star.observe_arch_gradient(steps_gradient(sign, 2));
    naive.observe_arch_gradient(steps_gradient(sign, 2));
  }
  EXPECT_TRUE(torch::equal(star.scores({}).at(0), torch::tensor({{2.0, 8.0, 8.0}}, doubles)));
  EXPECT_TRUE(torch::equal(naive.scores({}).at(0), torch::tensor({{1.0, 0.5, 0.0}}, doubles)));
}

}  // namespace
}  // namespace flowdarts
