// Arch and weight steps of several processes: with shared statistics they go where one process goes. Part of
// test_ranks.

#include <gtest/gtest.h>

#include <flowdarts/policies/arch_regularizer/none.hpp>
#include <flowdarts/policies/bilevel/first_order.hpp>
#include <flowdarts/policies/bilevel/second_order.hpp>
#include <flowdarts/policies/relaxation/softmax.hpp>
#include <flowdarts/spaces/darts/supernet.hpp>
#include <flowdarts/spaces/initialise.hpp>
#include <flowdarts/spaces/mobilenet/supernet.hpp>
#include <flowdarts/spaces/nas_bench_201/supernet.hpp>
#include <flowdarts/stages/arch_step/arch_step.hpp>
#include <flowdarts/stages/ranks/share.hpp>
#include <flowdarts/stages/ranks/tensor_sum.hpp>
#include <functional>
#include <memory>

#include "test_ranks.hpp"

namespace flowdarts {
namespace {

using testing::ranks;

constexpr std::int64_t batch = 13;
constexpr int steps = 10;

/// What ten steps of both kinds leave.
struct Trained {
  std::vector<torch::Tensor> alphas, weights;
};

/// The steps on this process's share of every batch, or where `sum` is null on all of it.
template <class Bilevel>
Trained train(Supernet& supernet, std::int64_t side, const GradientSum* sum) {
  initialise(supernet, 1);
  supernet.to(torch::kDouble);
  std::vector<torch::Tensor> alphas;
  for (const auto& alpha : initial_alphas(supernet.arch_shapes(), 1e-3, 1)) {
    alphas.push_back(alpha.detach().to(torch::kDouble).requires_grad_());
  }
  const WeightOptions options;
  WeightStep weight_step(supernet, options, sum);
  ArchStep<Softmax, Bilevel, NoArchRegularizer> arch_step(
      supernet, alphas, {}, Softmax(), Bilevel(typename Bilevel::Options()), NoArchRegularizer(), sum);
  const Share share = sum != nullptr ? share_of(batch, ranks->rank(), ranks->size()) : Share{0, batch};
  const auto own = [&](const torch::Tensor& whole) {
    return whole.slice(0, static_cast<std::int64_t>(share.begin), static_cast<std::int64_t>(share.end)).contiguous();
  };
  torch::manual_seed(7);
  const auto next = [&]() -> DeviceBatch {
    const torch::Tensor images = torch::randn({batch, 3, side, side}, torch::kDouble);
    const torch::Tensor labels = torch::randint(10, {batch}, torch::kInt64);
    return {own(images).contiguous(torch::MemoryFormat::ChannelsLast), own(labels),
            static_cast<double>(share.size()) / batch};
  };
  for (int step = 0; step < steps; ++step) {
    const DeviceBatch val = next(), images = next();
    arch_step(
        val, images, weight_step.optimizer(), options, options.lr, 0, [](auto&&) {}, [](auto&&) {});
    weight_step(images, arch_step.op_weights(), options.lr, [](auto&&) {});
  }
  return {alphas, weight_step.optimizer().weights()};
}

void expect_near(const std::vector<torch::Tensor>& found, const std::vector<torch::Tensor>& expected) {
  ASSERT_EQ(found.size(), expected.size());
  for (std::size_t i = 0; i < found.size(); ++i) {
    if (found[i].numel() == 0) continue;
    EXPECT_LT((found[i] - expected[i]).abs().max().item<double>(), 1e-10) << "tensor " << i;
  }
}

template <class Bilevel, class Net, class Spec>
void expect_one_way(const Spec& spec, std::int64_t side) {
  Net alone(spec);
  const Trained expected = train<Bilevel>(alone, side, nullptr);
  Net shared(spec);
  shared.share_statistics(make_rank_sum(ranks->open(), torch::kCPU));
  const GradientSum sum(make_sum_beside(ranks->open(), torch::kCPU), 4096);
  const Trained found = train<Bilevel>(shared, side, &sum);
  expect_near(found.alphas, expected.alphas);
  expect_near(found.weights, expected.weights);

  // Statistics and gradients by one sum, as between GPUs.
  const std::shared_ptr<const RankSum> one = make_rank_sum(ranks->open(), torch::kCPU);
  Net in_order(spec);
  in_order.share_statistics(one);
  const GradientSum summed(make_sum_in_order(one), 4096);
  const Trained again = train<Bilevel>(in_order, side, &summed);
  expect_near(again.alphas, expected.alphas);
  expect_near(again.weights, expected.weights);
}

TEST(SharedSteps, GoWhereOneProcessGoesOnNasBench201) {
  using namespace nas_bench_201;
  const SupernetSpec spec{.channels = 4, .cells = 1};
  expect_one_way<FirstOrder, FusedSupernet>(spec, 8);
  expect_one_way<FirstOrder, OracleSupernet>(spec, 8);
}

TEST(SharedSteps, OfSecondOrderGoWhereOneProcessGoes) {
  using namespace nas_bench_201;
  expect_one_way<SecondOrder, FusedSupernet>(SupernetSpec{.channels = 2, .cells = 1}, 8);
}

TEST(SharedSteps, GoWhereOneProcessGoesOnDarts) {
  using namespace darts;
  expect_one_way<FirstOrder, FusedSupernet>(SupernetSpec{.channels = 4, .cells = 3, .nodes = 2}, 16);
  expect_one_way<FirstOrder, FusedSupernet>(
      SupernetSpec{.channels = 8, .cells = 3, .nodes = 2, .partial = 4, .edge_weights = true}, 16);
}

TEST(SharedSteps, GoWhereOneProcessGoesOnMobileNet) {
  using namespace mobilenet;
  const SupernetSpec spec{
      .widths = {.stem = 4, .stages = {2, 2, 3, 4, 4, 5, 6}, .head = 8}, .classes = 10, .stem_stride = 1};
  expect_one_way<FirstOrder, FusedSupernet>(spec, 32);
}

}  // namespace
}  // namespace flowdarts
