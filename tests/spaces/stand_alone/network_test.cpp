#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <flowdarts/spaces/initialise.hpp>
#include <flowdarts/spaces/stand_alone/network.hpp>
#include <flowdarts/spaces/support/error.hpp>

namespace flowdarts {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

const Architecture cell =
    read_architecture("|nor_conv_3x3~0|+|none~0|skip_connect~1|+|avg_pool_3x3~0|nor_conv_1x1~1|none~2|");
const Architecture layers = read_architecture(
    "k3e6,k3e3,skip,skip,k5e6,k3e6,skip,k5e3,k7e6,k5e3,k5e6,k5e3,k7e6,k5e3,skip,k5e6,k7e6,k7e6,k7e3,k7e6,k7e6");
const mobilenet::Widths narrow{.stem = 4, .stages = {2, 4, 4, 6, 6, 8, 8}, .head = 16};

TEST(StandAloneNetwork, HasTheParametersThatAreCounted) {
  StandAlone description{cell, paper_spec("nas-bench-201")};
  EXPECT_EQ(parameter_count(StandAloneNetwork(description).module()), count_network(description).params);
  description = {darts::Genotype{}, {.channels = 4, .cells = 6}};
  const auto counts = count_network(description);
  EXPECT_EQ(parameter_count(StandAloneNetwork(description).module()), counts.params + counts.auxiliary_params);
  description = {layers, {.widths = narrow, .stem_stride = 1}};
  EXPECT_EQ(parameter_count(StandAloneNetwork(description).module()), count_network(description).params);
}

TEST(StandAloneNetwork, RefusesWhatDoesNotFit) {
  EXPECT_THAT([] { StandAloneNetwork({cell, {.classes = 0}}); }, ThrowsMessage<InputError>(HasSubstr("classes")));
  EXPECT_THAT(
      [] {
        StandAloneNetwork({layers, {.stem_stride = 3}});
      },
      ThrowsMessage<InputError>(HasSubstr("stride 3")));
}

TEST(StandAloneNetwork, ShowsTheAuxiliaryClassifierInTrainingModeOnly) {
  const StandAloneNetwork network({darts::Genotype{}, {.classes = 5, .channels = 4, .cells = 3}});
  const torch::Tensor images = torch::rand({2, 3, 32, 32});
  const StandAloneOutput trained = network.forward(images);
  EXPECT_EQ(trained.logits.sizes(), (std::vector<std::int64_t>{2, 5}));
  EXPECT_EQ(trained.auxiliary.sizes(), (std::vector<std::int64_t>{2, 5}));
  network.module().eval();
  EXPECT_FALSE(network.forward(images).auxiliary.defined());
}

TEST(StandAloneNetwork, DropsBySeedInTrainingModeOnly) {
  const torch::NoGradGuard no_grad;
  const torch::Tensor images = torch::rand({4, 3, 32, 32});
  const StandAloneNetwork network({layers, {.widths = narrow, .stem_stride = 1}});
  const auto logits = [&](const StandAloneDropout& dropout) { return network.forward(images, dropout).logits; };
  for (const StandAloneDropout& dropout : {StandAloneDropout{.path = 0.5, .seed = 3}, {.features = 0.5, .seed = 3}}) {
    EXPECT_TRUE(logits(dropout).equal(logits(dropout)));
    EXPECT_FALSE(logits(dropout).equal(logits({dropout.path, dropout.features, 4})));
    EXPECT_FALSE(logits(dropout).equal(logits({})));
  }
  network.module().eval();
  EXPECT_TRUE(logits({.path = 0.5, .features = 0.5, .seed = 3}).equal(logits({})));
}

TEST(DropElements, KeepsTheMean) {
  const torch::Tensor x = torch::ones({64, 500});
  const torch::Tensor y = drop_elements(x, 0.2, 7);
  const torch::Tensor kept = y != 0;
  EXPECT_NEAR(kept.to(torch::kDouble).mean().item<double>(), 0.8, 0.01);
  EXPECT_TRUE(y.masked_select(kept).allclose(torch::full({1}, 1.25F)));
}

}  // namespace
}  // namespace flowdarts
