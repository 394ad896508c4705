// The networks against the numbers of the reference implementations: parameter counts and logits.

#include <gtest/gtest.h>

#include <flowdarts/spaces/initialise.hpp>
#include <flowdarts/spaces/nas_bench_201/network.hpp>
#include <flowdarts/spaces/nas_bench_201/supernet.hpp>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>

#include "golden_fill.hpp"

namespace flowdarts::nas_bench_201 {
namespace {

using testing::golden;
using testing::golden_fill;
using testing::u;

nlohmann::json read_golden(const std::string& name) {
  std::ifstream file(FLOWDARTS_SOURCE_DIR "/tests/spaces/nas_bench_201/" + name);
  return nlohmann::json::parse(file);
}

SupernetSpec spec_of(const nlohmann::json& entry) {
  return {.channels = entry.at("channels"),
          .cells = entry.at("cells"),
          .classes = entry.at("classes"),
          .conv_bias = entry.at("conv_bias"),
          .track_running_stats = entry.value("track_running_stats", true),
          .affine = entry.value("affine", false)};
}

/// The supernet mixes with softmax(alpha), alpha = 0.5 u(i).
torch::Tensor logits_of(torch::nn::Module& module, const torch::Tensor& images) {
  if (auto* network = module.as<Network>()) return network->forward(images);
  return module.as<OracleSupernet>()->forward(images, {golden({6, 5}, 0.5).softmax(1)});
}

void expect_golden(const torch::Tensor& logits, const nlohmann::json& expected) {
  // Of the supernet without tracked statistics only three logits are published in evaluation mode, to nine decimals.
  const auto sample0 = expected.at("sample0").get<std::vector<double>>();
  const bool complete = sample0.size() == 10;
  for (std::size_t c = 0; c < sample0.size(); ++c) {
    const double tolerance = complete ? 1e-9 * std::abs(sample0[c]) : 6e-10;
    EXPECT_NEAR(logits[0][static_cast<std::int64_t>(c)].item<double>(), sample0[c], tolerance) << "logit " << c;
  }
  if (!complete) return;
  const double sum = expected.at("sum"), abs_sum = expected.at("abs_sum");
  EXPECT_NEAR(logits.sum().item<double>(), sum, 1e-9 * abs_sum);
  EXPECT_NEAR(logits.abs().sum().item<double>(), abs_sum, 1e-9 * abs_sum);
}

TEST(GoldenFill, DrawsTheDocumentedValues) {
  const std::array expected{0.146795160137, 0.176787545439,  0.408267465886,
                            0.855525830295, -0.307622041553, -0.311364918482};
  for (std::uint32_t i = 0; i < expected.size(); ++i) EXPECT_NEAR(u(i), expected[i], 1e-12);
}

TEST(GoldenForward, EveryLogitMatchesTheReference) {
  const auto entries = read_golden("golden_forward.json");
  ASSERT_EQ(entries.size(), 4U);
  for (const auto& entry : entries) {
    SCOPED_TRACE(entry.at("name").get<std::string>());
    std::shared_ptr<torch::nn::Module> network;
    if (entry.contains("ops")) {
      network = std::make_shared<Network>(entry.at("ops").get<std::array<int, 6>>(), entry.at("channels"),
                                          entry.at("cells"), entry.at("classes"));
    } else {
      network = std::make_shared<OracleSupernet>(spec_of(entry));
    }
    EXPECT_EQ(parameter_count(*network), entry.at("params").get<std::int64_t>());
    golden_fill(*network);
    const torch::Tensor images = golden(entry.at("input").get<std::vector<std::int64_t>>());
    const torch::NoGradGuard no_grad;
    // Evaluation mode comes first: it needs fresh running statistics.
    network->eval();
    expect_golden(logits_of(*network, images), entry.at("eval_mode"));
    network->train();
    expect_golden(logits_of(*network, images), entry.at("train_mode"));
  }
}

TEST(GoldenParameters, OfStandAloneNetworks) {
  const auto golden_params = read_golden("golden_params.json");
  const auto& entries = golden_params.at("stand_alone");
  ASSERT_EQ(entries.size(), 39U);
  for (const auto& entry : entries) {
    const Network network(entry.at("ops").get<std::array<int, 6>>(), entry.at("channels"), entry.at("cells"),
                          entry.at("classes"));
    EXPECT_EQ(parameter_count(network), entry.at("params").get<std::int64_t>()) << entry;
  }
}

TEST(GoldenParameters, OfSupernetsAndEachOfTheirBlocks) {
  const auto golden_params = read_golden("golden_params.json");
  const auto& entries = golden_params.at("supernet");
  ASSERT_EQ(entries.size(), 9U);
  for (const auto& entry : entries) {
    const auto supernet = std::make_shared<OracleSupernet>(spec_of(entry));
    EXPECT_EQ(parameter_count(*supernet), entry.at("params").get<std::int64_t>()) << entry;
    std::vector<std::int64_t> blocks;
    for (const auto& block : supernet->named_modules()["backbone.blocks"]->children()) {
      blocks.push_back(parameter_count(*block));
    }
    EXPECT_EQ(blocks, entry.at("per_block_params").get<std::vector<std::int64_t>>()) << entry;
  }
}

}  // namespace
}  // namespace flowdarts::nas_bench_201
