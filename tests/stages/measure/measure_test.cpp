// Measurements of single ops, against hand-worked numbers and plain recomputation.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <flowdarts/spaces/nas_bench_201/space.hpp>
#include <flowdarts/spaces/nas_bench_201/supernet.hpp>
#include <flowdarts/stages/measure/feature_information.hpp>
#include <flowdarts/stages/measure/removal.hpp>
#include <limits>

namespace flowdarts {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();
using ::testing::ElementsAre;

/// logits = sum over ops of weight_o logits_o, the same for every image; two edges of three ops, of which the first
/// gives nothing.
class TableSupernet : public Supernet {
 public:
  torch::Tensor forward(const torch::Tensor& images, const std::vector<torch::Tensor>& op_weights) override {
    ++passes;
    EXPECT_TRUE(is_training());
    EXPECT_FALSE(statistics);
    EXPECT_FALSE(torch::GradMode::is_enabled());
    const torch::Tensor logits = (op_weights.at(0).view({6, 1}) * table).sum(0);
    return logits.expand({images.size(0), 2}) * images.mean({1, 2, 3}).view({-1, 1});
  }
  [[nodiscard]] std::vector<ArchShape> arch_shapes() const override { return {{2, 3}}; }
  void set_statistics_updates(bool enabled) override { statistics = enabled; }
  void set_output_observer(OutputObserver observer) override { observer_ = std::move(observer); }

  torch::Tensor table =
      torch::tensor({{0.0, 0.0}, {3.0, 0.0}, {0.0, 1.0}, {0.0, 0.0}, {0.0, 1.0}, {0.0, 0.5}}, torch::kFloat);
  int passes = 0;
  bool statistics = true;
  OutputObserver observer_;
};

MeasureBatches images_of(std::vector<torch::Tensor> labels) {
  return {.count = static_cast<std::int64_t>(labels.size()), .load = [=](std::int64_t b) {
            const torch::Tensor& own = labels[static_cast<std::size_t>(b)];
            return DeviceBatch{torch::ones({own.size(0), 3, 4, 4}), own};
          }};
}

// All weights 1: logits (3, 2.5), class 0. Without op 1 of edge 0: (0, 2.5), class 1. Without any other: still class 0.
TEST(Removal, IsTheAccuracyWithoutEachOp) {
  TableSupernet net;
  const std::vector<torch::Tensor> weights{torch::ones({2, 3})};
  const auto labels = {torch::tensor({0, 0, 0}, torch::kLong), torch::tensor({1}, torch::kLong)};
  const Removal removal = measure_removal(net, weights, 0, images_of(labels));
  EXPECT_THAT(removal.accuracy.at(0), ElementsAre(0.75, 0.25, 0.75, 0.75, 0.75, 0.75));
  const auto loss = [](double a, double b) {  // of three images of class 0 and one of class 1
    return (3 * std::log1p(std::exp(b - a)) + std::log1p(std::exp(a - b))) / 4;
  };
  const std::vector<double> expected{loss(3, 2.5), loss(0, 2.5), loss(3, 1.5), loss(3, 2.5), loss(3, 1.5), loss(3, 2)};
  for (std::size_t i = 0; i < 6; ++i) EXPECT_NEAR(removal.loss.at(0)[i], expected[i], 1e-6) << i;
  EXPECT_EQ(net.passes, 2 * 5) << "the whole and four ops; `none` and what weighs nothing need no pass";
  EXPECT_TRUE(net.statistics);
  EXPECT_TRUE(torch::equal(weights[0], torch::ones({2, 3})));
}

TEST(Removal, OfAnOpThatWeighsNothingChangesNothing) {
  TableSupernet net;
  torch::Tensor weights = torch::ones({2, 3});
  weights[0][1] = 0.0;
  const Removal removal = measure_removal(net, {weights}, 0, images_of({torch::tensor({1, 1, 0}, torch::kLong)}));
  EXPECT_EQ(removal.accuracy[0][1], removal.accuracy[0][0]);
  EXPECT_EQ(removal.loss[0][1], removal.loss[0][0]);
  EXPECT_EQ(net.passes, 4);
  EXPECT_THROW(measure_removal(net, {weights}, 0, images_of({})), InputError);
}

// Lowest accuracy; then highest loss; then not `none`, which is the first column; then the lower index.
TEST(Removal, RanksTiesByLossThenNoneThenIndex) {
  const Removal removal{.accuracy = {{0.5, 0.5, 0.5, 0.4, 0.6, 0.5}}, .loss = {{2.0, 1.0, 2.0, 0.1, 9.0, 2.0}}};
  const auto scores = rank_by_removal(removal, {{2, 3}}, 0);
  // Order: 3 (also a `none`, but of lower accuracy), 2, 5, 0 (`none`), 1, 4.
  EXPECT_THAT(scores.at(0), ElementsAre(3, 2, 5, 6, 1, 4));
  EXPECT_THAT(rank_by_removal(removal, {{2, 3}}, -1).at(0), ElementsAre(5, 2, 4, 6, 1, 3));
}

// As in the MobileNet-like space, where some layers have no column of an op that adds nothing.
TEST(Removal, RanksMatricesOfDifferentWidths) {
  const Removal removal{.accuracy = {{0.5, 0.5, 0.5}, {0.5, 0.5}}, .loss = {{1.0, 1.0, 1.0}, {1.0, 2.0}}};
  const auto scores = rank_by_removal(removal, {{1, 3}, {1, 2}}, /*none_column=*/2);
  EXPECT_THAT(scores.at(0), ElementsAre(3, 2, 1));
  EXPECT_THAT(scores.at(1), ElementsAre(1, 2));
  TableSupernet net;
  const auto batches = images_of({torch::tensor({0, 1}, torch::kLong)});
  measure_removal(net, {torch::ones({2, 3})}, /*none_column=*/2, batches);
  EXPECT_EQ(net.passes, 5) << "the third column needs no pass";
  net.passes = 0;
  measure_removal(net, {torch::ones({3, 2})}, /*none_column=*/2, batches);
  EXPECT_EQ(net.passes, 7) << "there is none";
}

TEST(FeatureInformation, OfValuesOneAndMinusOneIsThreeEighths) {
  // sigma^2 = 2; F = 3 (1/2) / 4.
  const torch::Tensor x = torch::tensor({1.0, -1.0}).view({1, 2, 1, 1});
  EXPECT_NEAR(summed_feature_information(x).item<double>(), 0.375, 1e-12);
  EXPECT_NEAR(summed_feature_information(x.expand({3, 2, 4, 5})).item<double>(), 3 * 0.375, 1e-12);
}

TEST(FeatureInformation, ClosedFormIsTheElementwiseMean) {
  torch::manual_seed(1);
  const torch::Tensor x = torch::randn({2, 5, 3, 3}, torch::kDouble);
  const torch::Tensor centred = x - x.mean(1, true);
  const torch::Tensor variance = centred.pow(2).sum(1, true) / 4.0;
  const double elementwise = (3.0 * centred.pow(2) / variance.pow(3)).mean({1, 2, 3}).sum().item<double>();
  EXPECT_NEAR(summed_feature_information(x).item<double>() / elementwise, 1.0, 1e-12);
  EXPECT_NEAR(summed_feature_information(x * 2.0).item<double>() * 16.0 / elementwise, 1.0, 1e-12);
}

TEST(FeatureInformation, OfEqualChannelsIsInfiniteAndOfOneUndefined) {
  EXPECT_EQ(summed_feature_information(torch::ones({1, 3, 2, 2})).item<double>(), infinity);
  EXPECT_THROW(summed_feature_information(torch::ones({1, 1, 2, 2})), InputError);
}

/// Shows an output of its own for (0, 1) in each of two cells, and NaN for (1, 2).
class ShowingSupernet : public TableSupernet {
 public:
  torch::Tensor forward(const torch::Tensor& images, const std::vector<torch::Tensor>& op_weights) override {
    const torch::Tensor one = torch::tensor({1.0, -1.0}).view({1, 2, 1, 1}).expand({images.size(0), 2, 4, 4});
    observer_(0, 0, 1, one);
    observer_(0, 0, 1, one * 2.0);
    observer_(0, 1, 2, one * std::numeric_limits<double>::quiet_NaN());
    return TableSupernet::forward(images, op_weights);
  }
};

TEST(FeatureInformation, AveragesOverImagesAndCells) {
  ShowingSupernet net;
  const auto f = feature_information(net, {torch::ones({2, 3})},
                                     images_of({torch::zeros({3}, torch::kLong), torch::zeros({1}, torch::kLong)}));
  EXPECT_THAT(f.at(0), ElementsAre(infinity, 0.375 * (1.0 + 1.0 / 16.0) / 2.0, infinity, infinity, infinity, infinity));
  EXPECT_FALSE(net.observer_);
}

std::vector<torch::Tensor> copies(const std::vector<torch::Tensor>& tensors) {
  std::vector<torch::Tensor> result;
  for (const torch::Tensor& tensor : tensors) result.push_back(tensor.detach().clone());
  return result;
}

TEST(Measurements, LeaveASupernetAsItWas) {
  torch::manual_seed(2);
  nas_bench_201::OracleSupernet net({.channels = 2, .cells = 1});
  const std::vector<torch::Tensor> weights{torch::softmax(torch::randn({6, 5}), 1)};
  net.train();
  net.set_skip_dropout({.rate = 0.5, .key = 1});
  net.forward(torch::randn({4, 3, 8, 8}), weights);
  const auto parameters = copies(net.parameters()), buffers = copies(net.buffers()), before = copies(weights);
  MeasureBatches batches{.count = 2, .load = [](std::int64_t) {
                           return DeviceBatch{torch::randn({4, 3, 8, 8}), torch::tensor({0, 1, 2, 3}, torch::kLong)};
                         }};
  measure_removal(net, weights, NasBench201::none_column(), batches);
  const auto f = feature_information(net, weights, batches);
  for (std::size_t edge = 0; edge < 6; ++edge) {
    for (std::size_t op = 0; op < 5; ++op) EXPECT_EQ(std::isfinite(f.at(0)[edge * 5 + op]), op != 0);
  }
  for (std::size_t i = 0; i < parameters.size(); ++i) EXPECT_TRUE(torch::equal(parameters[i], net.parameters()[i]));
  for (std::size_t i = 0; i < buffers.size(); ++i) EXPECT_TRUE(torch::equal(buffers[i], net.buffers()[i]));
  EXPECT_TRUE(torch::equal(before[0], weights[0]));
  net.forward(torch::randn({4, 3, 8, 8}), weights);
  EXPECT_FALSE(torch::equal(buffers[0], net.buffers()[0])) << "running statistics stand still afterwards";
}

}  // namespace
}  // namespace flowdarts
