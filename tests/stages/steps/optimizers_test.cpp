#include <gtest/gtest.h>

#include <cmath>
#include <flowdarts/policies/arch_regularizer/none.hpp>
#include <flowdarts/policies/bilevel/first_order.hpp>
#include <flowdarts/policies/relaxation/softmax.hpp>
#include <flowdarts/stages/arch_step/arch_step.hpp>
#include <flowdarts/stages/arch_step/hessian.hpp>
#include <flowdarts/stages/weight_step/multi_tensor.hpp>
#include <mutex>
#include <numbers>
#include <set>
#include <thread>

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

/// Shapes as a supernet has them: channels-last, small and large, more elements than one part of the work.
std::vector<torch::Tensor> supernet_weights(torch::ScalarType type) {
  torch::manual_seed(4);
  std::vector<torch::Tensor> weights{torch::randn({16, 3, 3, 3}), torch::randn({64, 64, 3, 3}),
                                     torch::randn({64, 64, 1, 1}), torch::randn({7}), torch::randn({10, 64})};
  for (torch::Tensor& weight : weights) {
    weight = weight.to(type);
    if (weight.dim() == 4) weight = weight.contiguous(torch::MemoryFormat::ChannelsLast);
    weight.requires_grad_();
  }
  return weights;
}

double relative_tolerance(torch::ScalarType type) {
  return type == torch::kDouble ? 1e-12 : 1e-6;
}

void expect_same(const std::vector<torch::Tensor>& ours, const std::vector<torch::Tensor>& theirs, double tolerance) {
  ASSERT_EQ(ours.size(), theirs.size());
  for (std::size_t k = 0; k < ours.size(); ++k) {
    const double difference = (ours[k] - theirs[k]).abs().max().item<double>();
    EXPECT_LE(difference, tolerance * theirs[k].abs().max().item<double>()) << "tensor " << k;
  }
}

/// Twenty steps of ours and of torch::optim::SGD.
void expect_libtorchs_sgd(torch::ScalarType type, bool nesterov, double weight_decay, double clip) {
  const auto ours = supernet_weights(type);
  const auto theirs = copies(ours);
  WeightOptions options;
  options.nesterov = nesterov;
  options.weight_decay = weight_decay;
  options.clip = clip;
  Sgd sgd(ours, options);
  torch::optim::SGD reference(
      theirs, torch::optim::SGDOptions(0.1).momentum(0.9).weight_decay(weight_decay).nesterov(nesterov));
  for (int i = 0; i < 20; ++i) {
    std::vector<torch::Tensor> gradients;
    for (std::size_t k = 0; k < ours.size(); ++k) {
      // The norm of all is about 200, then about 2: above and below the clip.
      gradients.push_back(torch::randn_like(ours[k]).detach() * (i % 2 == 0 ? 1.0 : 0.01));
      torch::Tensor(theirs[k]).mutable_grad() = gradients[k].clone();
    }
    const auto kept = copies(gradients);
    sgd.step(gradients, 0.1);
    if (clip > 0.0) torch::nn::utils::clip_grad_norm_(theirs, clip);
    reference.step();
    for (std::size_t k = 0; k < ours.size(); ++k) EXPECT_TRUE(torch::equal(gradients[k], kept[k]));
  }
  expect_same(ours, theirs, relative_tolerance(type));
}

TEST(Sgd, TwentyStepsAgreeWithLibTorchs) {
  for (const auto type : {torch::kDouble, torch::kFloat}) {
    for (const bool nesterov : {false, true}) {
      expect_libtorchs_sgd(type, nesterov, /*weight_decay=*/3e-4, /*clip=*/5.0);
      expect_libtorchs_sgd(type, nesterov, /*weight_decay=*/0.0, /*clip=*/0.0);
    }
  }
}

/// Random gradients in the order in memory of their weights.
std::vector<torch::Tensor> gradients_of(const std::vector<torch::Tensor>& weights) {
  std::vector<torch::Tensor> gradients;
  for (const auto& weight : weights) gradients.push_back(torch::randn_like(weight).detach());
  return gradients;
}

TEST(Sgd, TheNumberOfThreadsChangesNoBit) {
  const int threads = at::get_num_threads();
  std::vector<std::vector<torch::Tensor>> results;
  for (const int count : {1, 2, 3, 7}) {
    at::set_num_threads(count);
    const auto weights = supernet_weights(torch::kFloat);
    Sgd sgd(weights, WeightOptions{});
    for (int i = 0; i < 3; ++i) sgd.step(gradients_of(weights), 0.1);
    results.push_back(weights);
  }
  at::set_num_threads(threads);
  for (const auto& result : results) {
    for (std::size_t k = 0; k < result.size(); ++k) EXPECT_TRUE(torch::equal(result[k], results[0][k]));
  }
}

TEST(Parts, CoverEveryElementOnceOnSeveralThreads) {
  const std::vector<torch::Tensor> tensors{torch::zeros({0}),    torch::zeros({50000}), torch::zeros({3}),
                                           torch::zeros({2, 0}), torch::zeros({30000}), torch::zeros({0})};
  const optimizer::Parts parts(tensors);
  std::mutex mutex;
  std::set<std::thread::id> threads;
  const int before = at::get_num_threads();
  at::set_num_threads(2);
  parts.for_each_piece([&](std::int64_t part, std::size_t tensor, std::int64_t begin, std::int64_t count) {
    EXPECT_LT(part, parts.count());
    tensors[tensor].slice(0, begin, begin + count).add_(1);
    const std::lock_guard lock(mutex);
    threads.insert(std::this_thread::get_id());
  });
  at::set_num_threads(before);
  for (const torch::Tensor& tensor : tensors) EXPECT_TRUE(tensor.eq(1).all().item<bool>());
#ifdef __clang__
  GTEST_SKIP() << "at::parallel_for takes one thread in what Clang compiled (cmake/FindLibTorch.cmake)";
#endif
  EXPECT_EQ(threads.size(), 2U);
}

TEST(Sgd, AnUndefinedGradientIsZero) {
  // Weights with a gap in memory take LibTorch's operators.
  for (const bool with_gap : {false, true}) {
    std::vector<torch::Tensor> ours = some_weights();
    if (with_gap) ours.push_back(torch::randn({4, 6}, torch::kDouble).slice(1, 0, 3));
    const auto theirs = copies(ours);
    Sgd sgd(ours, WeightOptions{}), reference(theirs, WeightOptions{});
    for (int i = 0; i < 3; ++i) {
      std::vector<torch::Tensor> gradients = gradients_of(ours);
      gradients[1] = torch::zeros_like(ours[1]);
      reference.step(gradients, 0.1);
      gradients[1] = torch::Tensor();
      sgd.step(gradients, 0.1);
    }
    expect_same(ours, theirs, with_gap ? 1e-14 : 0.0);                          // a copy has no gap
    EXPECT_FALSE(torch::equal(sgd.momentum()[1], torch::zeros_like(ours[1])));  // decay alone moves it
  }
}

TEST(Sgd, LibTorchsOperatorsAndTheKernelsAgree) {
  for (const bool nesterov : {false, true}) {
    const auto ours = supernet_weights(torch::kDouble);
    auto theirs = copies(ours);
    theirs.push_back(torch::zeros({4, 6}, torch::kDouble).slice(1, 0, 3));
    WeightOptions options;
    options.nesterov = nesterov;
    Sgd sgd(ours, options), reference(theirs, options);
    for (int i = 0; i < 3; ++i) {
      auto gradients = gradients_of(ours);
      const auto kept = copies(gradients);
      sgd.step(gradients, 0.1);
      gradients.push_back(torch::zeros({4, 3}, torch::kDouble));
      reference.step(gradients, 0.1);
      for (std::size_t k = 0; k < ours.size(); ++k) EXPECT_TRUE(torch::equal(gradients[k], kept[k]));
    }
    theirs.pop_back();
    expect_same(ours, theirs, 1e-12);
  }
}

TEST(Sgd, GradientsMayLieInMemoryInAnyOrder) {
  const auto ours = supernet_weights(torch::kDouble);
  const auto theirs = copies(ours);
  Sgd sgd(ours, WeightOptions{}), reference(theirs, WeightOptions{});
  for (int i = 0; i < 3; ++i) {
    auto gradients = gradients_of(ours);
    reference.step(gradients, 0.1);
    for (std::size_t k = 0; k < 3; ++k) gradients[k] = gradients[k].contiguous();
    gradients[4] = gradients[4].t().contiguous().t();
    sgd.step(gradients, 0.1);
  }
  expect_same(ours, theirs, 0.0);
  // One number for all elements.
  const torch::Tensor one = torch::ones({1}, torch::kDouble);
  sgd.step({{}, {}, {}, one.expand({7}), {}}, 0.1);
  reference.step({{}, {}, {}, one.repeat({7}), {}}, 0.1);
  EXPECT_TRUE(torch::equal(ours[3], theirs[3]));
}

TEST(Sgd, WeightsMayChangeTheirMemoryFormatBetweenSteps) {
  const auto ours = supernet_weights(torch::kDouble);
  const auto theirs = copies(ours);
  Sgd sgd(ours, WeightOptions{}), reference(theirs, WeightOptions{});
  for (int i = 0; i < 3; ++i) {
    const auto gradients = gradients_of(theirs);
    sgd.step(gradients, 0.1);
    reference.step(gradients, 0.1);
    if (i == 0) torch::Tensor(ours[1]).set_data(ours[1].detach().contiguous());
  }
  expect_same(ours, theirs, 1e-14);
  expect_same(sgd.momentum(), reference.momentum(), 1e-14);
}

TEST(Sgd, OneGradientMayServeTwoWeights) {
  // What autograd returns for (a + b).sum().
  for (const bool with_gap : {false, true}) {
    torch::Tensor a = torch::ones({5}, torch::kDouble), b = torch::ones({5}, torch::kDouble);
    if (with_gap) b = torch::ones({5, 2}, torch::kDouble).select(1, 0);
    WeightOptions options;
    options.clip = 1.0;
    Sgd sgd({a, b}, options);
    const torch::Tensor gradient = torch::ones({5}, torch::kDouble);
    sgd.step({gradient, gradient}, 0.1);
    const double expected = 1.0 - 0.1 * (1.0 / (std::sqrt(10.0) + 1e-6) + 3e-4);
    for (const torch::Tensor& weight : {a, b}) EXPECT_NEAR(weight[0].item<double>(), expected, 1e-12);
  }
}

TEST(Sgd, ANormThatIsNotFiniteActsAsInLibTorch) {
  for (const double bad : {std::nan(""), HUGE_VAL}) {
    const auto ours = some_weights();
    const auto theirs = copies(ours);
    auto gradients = gradients_of(ours);
    gradients[1][2] = bad;
    for (std::size_t k = 0; k < ours.size(); ++k) torch::Tensor(theirs[k]).mutable_grad() = gradients[k].clone();
    Sgd(ours, WeightOptions{}).step(gradients, 0.1);
    torch::nn::utils::clip_grad_norm_(theirs, 5.0);
    torch::optim::SGD(theirs, torch::optim::SGDOptions(0.1).momentum(0.9).weight_decay(3e-4)).step();
    for (std::size_t k = 0; k < ours.size(); ++k) {
      EXPECT_TRUE(torch::allclose(ours[k], theirs[k], 1e-12, 0.0, /*equal_nan=*/true));
    }
  }
}

TEST(Sgd, AStepMakesSavedWeightsStale) {
  torch::Tensor weight = torch::ones({3}, torch::kDouble).requires_grad_();
  const torch::Tensor loss = (weight * weight).sum();
  Sgd({weight}, WeightOptions{}).step({torch::ones({3}, torch::kDouble)}, 0.1);
  EXPECT_THROW(loss.backward(), c10::Error);
}

TEST(Sgd, RefusesGradientsOfOtherShapes) {
  const auto weights = some_weights();
  Sgd sgd(weights, WeightOptions{});
  EXPECT_THROW(sgd.step({torch::ones({4, 3}, torch::kDouble)}, 0.1), c10::Error);
  EXPECT_THROW(sgd.step({torch::ones({3}, torch::kDouble), torch::ones({5}, torch::kDouble)}, 0.1), c10::Error);
}

TEST(ClipNorm, ScalesTheGradientsTogetherAndOnlyDown) {
  std::vector<torch::Tensor> gradients{torch::full({4}, 3.0, torch::kDouble), torch::full({1}, 8.0, torch::kDouble)};
  clip_norm(gradients, 5.0);  // norm 10
  EXPECT_NEAR(gradients[0][0].item<double>(), 1.5, 1e-6);
  EXPECT_NEAR(gradients[1][0].item<double>(), 4.0, 1e-6);
  clip_norm(gradients, 50.0);
  EXPECT_NEAR(gradients[1][0].item<double>(), 4.0, 1e-6);
}

// The learning rate lies where the weights are, for a recorded step to read: setting it is all that a new one takes.
TEST(Sgd, TakesTheLearningRateSetLast) {
  WeightOptions options;
  options.momentum = 0.0;
  options.weight_decay = 0.0;
  options.clip = 0.0;
  for (const auto type : {torch::kFloat, torch::kDouble}) {
    const torch::Tensor weight = torch::ones({2}, type);
    Sgd sgd({weight}, options);
    const std::vector<torch::Tensor> gradients{torch::tensor({1.0, -2.0}).to(type)};
    sgd.step(gradients);
    EXPECT_TRUE(torch::equal(weight, torch::ones({2}, type))) << "no learning rate was set";
    sgd.set_lr(0.5);
    sgd.step(gradients);
    EXPECT_TRUE(torch::equal(weight, torch::tensor({0.5, 2.0}).to(type)));
    sgd.set_lr(0.25);
    sgd.step(gradients);
    sgd.step(gradients);
    EXPECT_TRUE(torch::equal(weight, torch::tensor({0.0, 3.0}).to(type)));
  }
}

// As a recorded update does, whose corrections are set before each launch: lr / (1 - beta1^t) and sqrt(1 - beta2^t).
TEST(Adam, CorrectsTheBiasOfTheStepsCounted) {
  ArchOptions options;
  options.lr = 0.1;
  options.weight_decay = 0.0;
  for (const auto type : {torch::kFloat, torch::kDouble}) {
    const torch::Tensor alpha = torch::zeros({1, 1}, type);
    Adam adam({alpha}, options);
    adam.set_steps(4);  // a resumed search
    adam.advance();
    EXPECT_EQ(adam.steps(), 5);
    adam.update({torch::full({1, 1}, 3.0, type)});
    const double first = 0.5 * 3.0, second = 0.001 * 9.0;  // beta1 0.5, beta2 0.999
    const double expected =
        -0.1 / (1.0 - std::pow(0.5, 5)) * first / (std::sqrt(second) / std::sqrt(1.0 - std::pow(0.999, 5)) + 1e-8);
    EXPECT_NEAR(alpha.item<double>(), expected, std::abs(expected) * (type == torch::kFloat ? 1e-6 : 1e-12));
  }
}

TEST(Adam, TwentyStepsAgreeWithLibTorchs) {
  for (const auto type : {torch::kDouble, torch::kFloat}) {
    const auto ours = supernet_weights(type);
    const auto theirs = copies(ours);
    Adam adam(ours, ArchOptions{});
    torch::optim::Adam reference(theirs,
                                 torch::optim::AdamOptions(3e-4).betas(std::make_tuple(0.5, 0.999)).weight_decay(1e-3));
    for (int i = 0; i < 20; ++i) {
      const auto gradients = gradients_of(ours);
      const auto kept = copies(gradients);
      for (std::size_t k = 0; k < ours.size(); ++k) torch::Tensor(theirs[k]).mutable_grad() = gradients[k].clone();
      adam.step(gradients);
      reference.step();
      for (std::size_t k = 0; k < ours.size(); ++k) EXPECT_TRUE(torch::equal(gradients[k], kept[k]));
    }
    expect_same(ours, theirs, relative_tolerance(type));
    EXPECT_EQ(adam.steps(), 20);
  }
}

TEST(Adam, LibTorchsOperatorsAndTheKernelsAgree) {
  const auto ours = supernet_weights(torch::kDouble);
  auto theirs = copies(ours);
  theirs.push_back(torch::zeros({4, 6}, torch::kDouble).slice(1, 0, 3));  // a gap in memory
  Adam adam(ours, ArchOptions{}), reference(theirs, ArchOptions{});
  for (int i = 0; i < 3; ++i) {
    auto gradients = gradients_of(ours);
    gradients.push_back(torch::ones({4, 3}, torch::kDouble));
    reference.step(gradients);
    gradients.pop_back();
    for (std::size_t k = 0; k < 3; ++k) gradients[k] = gradients[k].contiguous();  // another order than the weight's
    adam.step(gradients);
  }
  theirs.pop_back();
  expect_same(ours, theirs, 1e-12);
}

// Before weight decay, and by the norm of all of them.
TEST(Adam, ClipsTheGradientOfAllAlphas) {
  ArchOptions options;
  options.weight_decay = 0.1;
  const auto plain = some_weights(), clipped = copies(plain);
  Adam reference(plain, options);
  options.clip = 5;
  Adam adam(clipped, options);
  const auto filled = [](double value) {
    return std::vector{torch::full({4, 3}, value, torch::kDouble), torch::full({5}, value, torch::kDouble)};
  };
  const auto large = filled(4), kept = copies(large);
  const double norm = std::sqrt(17 * 16.0);
  for (int i = 0; i < 3; ++i) {
    reference.step(filled(4 * 5 / norm));
    adam.step(large);
  }
  expect_same(clipped, plain, 1e-6);
  for (std::size_t k = 0; k < large.size(); ++k) EXPECT_TRUE(torch::equal(large[k], kept[k]));
  Adam(plain, options).step(filled(0.1));  // norm 0.41
  options.clip = 0;
  Adam(clipped, options).step(filled(0.1));
  expect_same(clipped, plain, 1e-6);
}

TEST(Adam, RefusesGradientsOfOtherShapes) {
  Adam adam(some_weights(), ArchOptions{});
  EXPECT_THROW(adam.step({torch::ones({4, 3}, torch::kDouble)}), c10::Error);
  EXPECT_THROW(adam.step({torch::ones({3}, torch::kDouble), torch::ones({5}, torch::kDouble)}), c10::Error);
}

TEST(CosineLr, StartsFullAndIsHalfwayInTheMiddle) {
  const WeightOptions options;
  EXPECT_DOUBLE_EQ(cosine_lr(options, 0, 50), 0.025);
  EXPECT_NEAR(cosine_lr(options, 25, 50), 0.013, 1e-12);
  EXPECT_GT(cosine_lr(options, 49, 50), 0.001);
}

TEST(CosineLr, GrowsInEqualStepsFirst) {
  WeightOptions options;
  options.lr = 0.5;
  options.lr_min = 0;
  options.warm_up = 5;
  EXPECT_DOUBLE_EQ(cosine_lr(options, 0, 50), 0.1);
  EXPECT_DOUBLE_EQ(cosine_lr(options, 3, 50), 0.4);
  EXPECT_DOUBLE_EQ(cosine_lr(options, 4, 50), 0.5);
  EXPECT_NEAR(cosine_lr(options, 5, 50), 0.25 * (1 + std::cos(0.1 * std::numbers::pi)), 1e-12);  // of all epochs
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
      [&](const ArchGradient& arch) {
        seen = arch.gradients[0];
        EXPECT_TRUE(torch::equal(arch.val.op_weights[0], torch::softmax(alpha, 1)));
      });
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

// What is left of an edge shares the weight of what is gone; as if nothing were gone it does not.
TEST(Steps, UnmaskedOpWeightsAreThoseOfAllOps) {
  TinySupernet net;
  ArchStep<Softmax, FirstOrder, NoArchRegularizer> arch_step(
      net, {torch::zeros({1, 3}).requires_grad_()}, ArchOptions{}, Softmax{}, FirstOrder{}, NoArchRegularizer{});
  arch_step.set_masks({torch::tensor({{1.0F, 0.0F, 0.0F}})});
  EXPECT_TRUE(torch::allclose(arch_step.op_weights()[0], torch::tensor({{1.0F, 0.0F, 0.0F}})));
  EXPECT_TRUE(torch::allclose(arch_step.unmasked_op_weights()[0], torch::full({1, 3}, 1.0F / 3.0F)));
}

}  // namespace
}  // namespace flowdarts
