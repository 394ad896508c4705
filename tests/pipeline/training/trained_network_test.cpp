#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <flowdarts/pipeline/training/evaluation.hpp>
#include <flowdarts/pipeline/training/train_main.hpp>
#include <flowdarts/pipeline/training/trained_network.hpp>
#include <flowdarts/spaces/support/error.hpp>
#include <flowdarts/spaces/support/random.hpp>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "../../stages/load/test_images.hpp"

namespace flowdarts {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;
namespace fs = std::filesystem;

/// A training of one step an epoch in a folder that vanishes, on four noisy images of two classes.
class TrainedNetworks : public ::testing::Test {
 protected:
  void SetUp() override {
    CounterRng rng(3, Stream::noise);
    for (const std::string name : {"a/0.png", "a/1.png", "b/0.png", "b/1.png"}) {
      testing::Bytes pixels(std::size_t{3} * 8 * 8);
      for (std::uint8_t& value : pixels) value = static_cast<std::uint8_t>(rng());
      testing::write_file(images_ / name, testing::encode_png(pixels, 8, 8));
    }
  }

  void train(const std::vector<const char*>& options) const {
    const std::string images = images_.string(), run = run_.string();
    std::vector<const char*> arguments{
        "flowdarts-train",
        "--dataset",
        "folder",
        "--data",
        images.c_str(),
        "--test-data",
        images.c_str(),
        "--out",
        run.c_str(),
        "--epochs",
        "3",
        "--batch-size",
        "4",
        "--threads",
        "1",
        "--channels",
        "2",
        "--cells",
        "1",
        "--genotype",
        "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|avg_pool_3x3~0|nor_conv_1x1~1|none~2|"};
    arguments.insert(arguments.end(), options.begin(), options.end());
    ASSERT_EQ(train_main(arguments), 0);
  }

  /// The network read back tests as its training said.
  void expect_tests_as_recorded() const {
    const TrainedNetwork trained = load_trained(run_);
    EXPECT_EQ(trained.epoch, 3);
    EXPECT_EQ(trained.description.spec.channels, 2);
    EXPECT_FALSE(trained.network.module().is_training());
    const auto images = open_dataset({.kind = "folder", .path = images_});
    const TestResult result =
        evaluate(trained.network, BatchLoader(images, {.padding = 0}, 0, {}), 4, 4, 1, torch::kCPU);
    const auto recorded = nlohmann::json::parse(std::ifstream(run_ / "result.json"));
    EXPECT_EQ(result.accuracy(), recorded["test"]["accuracy"].get<double>());
    EXPECT_NEAR(result.loss, recorded["test"]["loss"].get<double>(), 1e-6);
  }

  testing::TemporaryDirectory folder_;
  fs::path images_ = folder_.path() / "images", run_ = folder_.path() / "run";
};

TEST_F(TrainedNetworks, AreReadBackFromARunDirectory) {
  train({"--padding", "1"});
  expect_tests_as_recorded();
}

TEST_F(TrainedNetworks, HaveTheAveragedWeightsWhereThereAreSuch) {
  train({"--padding", "1", "--average-decay", "0.8"});
  expect_tests_as_recorded();
}

TEST_F(TrainedNetworks, AreRefusedFromElsewhere) {
  EXPECT_THAT([&] { load_trained(images_); },
              ThrowsMessage<InputError>(images_.string() +
                                        ": found no folder checkpoints, expected a run directory of flowdarts train"));
  EXPECT_THAT([&] { load_trained(images_ / "a" / "0.png"); }, ThrowsMessage<InputError>(HasSubstr("0.png")));
}

}  // namespace
}  // namespace flowdarts
