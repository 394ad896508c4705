#include <gtest/gtest.h>

#include <algorithm>
#include <flowdarts/spaces/nas_bench_201/count.hpp>
#include <flowdarts/spaces/nas_bench_201/draw.hpp>
#include <flowdarts/spaces/support/error.hpp>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace flowdarts::nas_bench_201 {
namespace {

TEST(NetworkCounts, MatchEveryGoldenEntry) {
  std::ifstream file(FLOWDARTS_SOURCE_DIR "/tests/spaces/nas_bench_201/golden.json");
  const auto entries = nlohmann::json::parse(file);
  ASSERT_EQ(entries.size(), 33U);
  for (const auto& entry : entries) {
    SCOPED_TRACE(entry.dump());
    const NetworkShape shape{.channels = entry.at("channels"),
                             .cells = entry.at("cells"),
                             .classes = entry.at("classes"),
                             .image_size = entry.at("resolution")};
    NetworkCounts counts;
    if (entry.at("phase") == "eval") {
      counts = count_network(parse_genotype(entry.at("genotype").get<std::string>()), shape);
    } else {
      const std::string variant = entry.value("variant", entry.at("name"));
      const bool biased = variant.starts_with("conv bias") || variant.find("_biased_") != std::string::npos;
      counts = count_supernet(shape, {.conv_bias = biased, .affine_ops = variant.ends_with("affine on")});
      ASSERT_TRUE(biased || variant.starts_with("no conv bias") || variant.find("_biasless_") != std::string::npos);
    }
    EXPECT_EQ(counts.params, entry.at("params"));
    EXPECT_EQ(counts.macs, entry.at("macs"));
    EXPECT_EQ(counts.macs_plus_bias, entry.at("macs_plus_bias"));
    if (entry.contains("per_cell_params")) {
      EXPECT_EQ(counts.block_params, entry.at("per_cell_params"));
    }
  }
}

// The closed form of NAS-Bench-201's own counts, C = 16, N = 5.
TEST(NetworkCounts, AreLinearInTheConvolutionsOfTheCell) {
  for (int index = 0; index < genotype_count; ++index) {
    const Genotype genotype = Genotype::from_index(index);
    const auto n3 = std::ranges::count(genotype.ops, Op::nor_conv_3x3);
    const auto n1 = std::ranges::count(genotype.ops, Op::nor_conv_1x1);
    const NetworkCounts counts = count_network(genotype);
    ASSERT_EQ(counts.params, 73306 + 243040 * n3 + 28000 * n1);
    ASSERT_EQ(counts.macs, 7783040 + 35389440 * n3 + 3932160 * n1);
    ASSERT_EQ(counts.block_params.size(), 17U);
  }
}

// Stem, fifteen cells, two residual blocks of two convolutions, linear.
TEST(NetworkCounts, FollowTheLongestPathThroughTheCells) {
  const auto depth = [](const char* text) { return count_network(parse_genotype(text)).depth; };
  EXPECT_EQ(depth("|nor_conv_3x3~0|+|none~0|nor_conv_1x1~1|+|nor_conv_3x3~0|none~1|nor_conv_3x3~2|"),
            1 + 15 * 3 + 4 + 1);
  EXPECT_EQ(depth("|nor_conv_3x3~0|+|skip_connect~0|none~1|+|none~0|nor_conv_3x3~1|nor_conv_1x1~2|"),
            1 + 15 * 2 + 4 + 1);
  EXPECT_EQ(depth("|none~0|+|none~0|nor_conv_3x3~1|+|avg_pool_3x3~0|nor_conv_3x3~1|nor_conv_3x3~2|"), 1 + 0 + 4 + 1)
      << "nothing reaches nodes 1 and 2";
  EXPECT_EQ(depth("|nor_conv_3x3~0|+|none~0|none~1|+|none~0|none~1|none~2|"), 1 + 0 + 4 + 1);
}

TEST(NetworkCounts, KnowTheSupernetWithoutAffineLastBatchNorm) {
  EXPECT_EQ(count_supernet({}, {.conv_bias = true, .affine_last_bn = false}).params, 1692698);
}

TEST(NetworkCounts, RefuseShapesThatNoNetworkHas) {
  const auto error = [](const NetworkShape& shape) -> std::string {
    try {
      count_supernet(shape);
    } catch (const InputError& e) {
      return e.what();
    }
    return "";
  };
  EXPECT_EQ(error({.channels = 0}), "channels: found 0, expected 1 to 4096");
  EXPECT_EQ(error({.cells = 101}), "cells: found 101, expected 1 to 100");
  EXPECT_EQ(error({.classes = -1}), "classes: found -1, expected 1 to 1000000");
  EXPECT_EQ(error({.image_size = 30}), "image size: found 30, expected 4 to 4096, a multiple of 4");
  EXPECT_EQ(error({.channels = 4096, .cells = 100, .classes = 1'000'000, .image_size = 4096}), "");
}

TEST(NetworkCounts, DoNotOverflowAtTheLargestShape) {
  const NetworkCounts counts =
      count_supernet({.channels = 4096, .cells = 100, .classes = 1'000'000, .image_size = 4096},
                     {.conv_bias = true, .affine_ops = true});
  // 60 C^2 weights a cell, the same MACs in each of the three stages.
  EXPECT_GT(counts.macs, std::int64_t{300} * 60 * 4096 * 4096 * 4096 * 4096);
  EXPECT_GT(counts.macs_plus_bias, counts.macs);
}

TEST(Draw, ShowsFourNodesAndSixNamedEdges) {
  EXPECT_EQ(
      draw(parse_genotype("|nor_conv_3x3~0|+|nor_conv_1x1~0|avg_pool_3x3~1|+|skip_connect~0|none~1|skip_connect~2|")),
      R"(  ┌──────────────── nor_conv_1x1 ─────────────────┐
┌─┴─┐                   ┌───┐                   ┌─▼─┐                   ┌───┐
│ 0 │── nor_conv_3x3 ──▶│ 1 │── avg_pool_3x3 ──▶│ 2 │── skip_connect ──▶│ 3 │
└─┬─┘                   └─┬─┘                   └───┘                   └─▲─┘
  │                       └╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌ none ╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌┤
  └──────────────────────────── skip_connect ─────────────────────────────┘
input                                                                   output
)");
}

}  // namespace
}  // namespace flowdarts::nas_bench_201
