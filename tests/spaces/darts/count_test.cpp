#include <gtest/gtest.h>

#include <flowdarts/spaces/darts/count.hpp>
#include <flowdarts/spaces/support/error.hpp>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>

namespace flowdarts::darts {
namespace {

OpMask only(const nlohmann::json& kept) {
  OpMask mask(edge_count(default_nodes));
  for (auto& row : mask) {
    for (const std::string name : kept) row[std::ranges::find(op_names, name) - op_names.begin()] = true;
  }
  return mask;
}

SupernetSpec supernet_of(const nlohmann::json& entry) {
  const std::string name = entry.at("name");
  SupernetSpec spec{.channels = entry.at("channels"), .cells = entry.at("cells"), .classes = entry.at("classes")};
  if (name.find("imagenet") != std::string::npos) spec.stem = Stem::imagenet;
  if (name.find("pc_darts") != std::string::npos) spec.partial = name.find("k2") != std::string::npos ? 2 : 4;
  if (name.starts_with("autodl")) {
    spec.pool_norm = false;
    spec.conv_bias = spec.last_norm = true;
  }
  if (entry.contains("kept_ops")) spec.normal = spec.reduce = only(entry.at("kept_ops"));
  return spec;
}

TEST(NetworkCounts, MatchEveryGoldenEntry) {
  std::ifstream file(FLOWDARTS_SOURCE_DIR "/tests/spaces/darts/golden.json");
  const auto entries = nlohmann::json::parse(file);
  ASSERT_EQ(entries.size(), 47U);
  for (const auto& entry : entries) {
    SCOPED_TRACE(entry.dump());
    NetworkCounts counts;
    if (entry.at("phase") == "search") {
      counts = count_supernet(supernet_of(entry), entry.at("resolution"));
      EXPECT_EQ(counts.params, entry.at("params"));
    } else {
      const bool imagenet = entry.at("phase") == "eval-imagenet";
      const NetworkSpec spec{.channels = entry.at("channels"),
                             .cells = entry.at("cells"),
                             .classes = entry.at("classes"),
                             .stem = imagenet ? Stem::imagenet : Stem::cifar,
                             .auxiliary_norm = entry.value("variant", "").starts_with("P-DARTS")};
      counts = count_network(parse_genotype(entry.at("genotype").get<std::string>()), spec, entry.at("resolution"));
      EXPECT_EQ(counts.params, entry.at("params_without_aux"));
      EXPECT_EQ(counts.params + counts.auxiliary_params, entry.at("params"));
      if (entry.contains("aux_macs")) {
        EXPECT_EQ(counts.auxiliary_macs, entry.at("aux_macs"));
      }
    }
    EXPECT_EQ(counts.macs, entry.at("macs"));
    if (entry.contains("macs_plus_bias")) {
      EXPECT_EQ(counts.macs_plus_bias, entry.at("macs_plus_bias"));
    }
    if (entry.contains("per_cell_params")) {
      EXPECT_EQ(counts.cell_params, entry.at("per_cell_params"));
    }
  }
}

// spaces of two widths, counted by hand: C = 2, one cell of one node, which reduces.
TEST(NetworkCounts, FollowTheLayersOfHandMadeOps) {
  const Genotype genotype = parse_genotype(
      "Genotype(normal=[('skip_connect', 0), ('skip_connect', 1)], normal_concat=[2], "
      "reduce=[('conv_7x1_1x7', 0), ('sep_conv_7x7', 1)], reduce_concat=[2])");
  const NetworkCounts counts =
      count_network(genotype, {.channels = 2, .cells = 1, .classes = 3, .auxiliary = false}, 8);
  // Stem 3 -> 6; both inputs 6 -> 4; the ops on 4 channels.
  const int stem = 27 * 6 + 12, inputs = 2 * (24 + 8);
  const int conv = 7 * 16 + 7 * 16 + 8, separable = 2 * (49 * 4 + 16 + 8), linear = 4 * 3 + 3;
  EXPECT_EQ(counts.params, stem + inputs + conv + separable + linear);
  EXPECT_EQ(counts.macs, 27 * 6 * 64 + 2 * 24 * 64 + 7 * 16 * 32 + 7 * 16 * 16 + 2 * (49 * 4 + 16) * 16 + 12);
  EXPECT_EQ(counts.auxiliary_params, 0);
  EXPECT_EQ(counts.depth, 1 + 1 + 4 + 1) << "stem, an input, two separable convolutions, linear";
}

// DARTS_V2: a normal cell is an input's convolution, a separable op of four and a dilated one of two; a reduction cell
// an input's convolution alone, as its ops have none (its skips read nodes, at stride 1).
TEST(NetworkCounts, FollowTheLongestPathThroughTheCells) {
  const Genotype genotype = parse_genotype(
      "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('sep_conv_3x3', 1), "
      "('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0), ('dil_conv_3x3', 2)], normal_concat=range(2, 6), "
      "reduce=[('max_pool_3x3', 0), ('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 1), ('max_pool_3x3', "
      "0), "
      "('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)], reduce_concat=range(2, 6))");
  EXPECT_EQ(count_network(genotype).depth, 1 + 18 * 7 + 2 * 1 + 1);
  EXPECT_EQ(count_network(genotype, imagenet_network, 224).depth, 3 + 12 * 7 + 2 * 1 + 1);
  // A skip at stride 2 is a convolution; the strongest path into the second reduction cell passes the cell before it.
  const Genotype skips = parse_genotype(
      "Genotype(normal=[('skip_connect', 0), ('max_pool_3x3', 0)], normal_concat=[2], "
      "reduce=[('skip_connect', 0), ('max_pool_3x3', 0)], reduce_concat=[2])");
  // Cells 1 and 2 of three reduce. Behind cell 0: 2; cell 1: 1 + 1 + 1; cell 2: that of cell 0 + 2.
  EXPECT_EQ(count_network(skips, {.channels = 4, .cells = 3, .auxiliary = false}).depth, 2 + 2 + 1);
}

TEST(NetworkCounts, DoNotDependOnNone) {
  EXPECT_EQ(count_supernet({.with_none = false}).params, count_supernet().params);
  EXPECT_EQ(SupernetSpec{}.columns(), 8);
  EXPECT_EQ(SupernetSpec{.with_none = false}.columns(), 7);
  EXPECT_EQ(SupernetSpec{.with_none = false}.column_of(Op::max_pool_3x3), 0);
}

TEST(Cells, ReduceAtAThirdAndTwoThirds) {
  for (const auto& [cells, first, second] : std::vector<std::array<std::size_t, 3>>{
           {5, 1, 3}, {8, 2, 5}, {11, 3, 7}, {14, 4, 9}, {17, 5, 11}, {20, 6, 13}}) {
    const auto places = cell_places({.cells = static_cast<std::int64_t>(cells)});
    for (std::size_t i = 0; i < cells; ++i) {
      EXPECT_EQ(places[i].reduction, i == first || i == second) << cells << " cells, cell " << i;
      EXPECT_EQ(places[i].reduction_prev, i == first + 1 || i == second + 1) << cells << " cells, cell " << i;
    }
    EXPECT_EQ(auxiliary_cell(static_cast<std::int64_t>(cells)), static_cast<std::int64_t>(second));
  }
  const auto places = cell_places(SupernetSpec{});
  EXPECT_EQ(places[3].channels_prev_prev, 64);
  EXPECT_EQ(places[3].channels_prev, 128);
  EXPECT_EQ(places[3].channels, 32);
}

std::string error_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const InputError& error) {
    return error.what();
  }
  return "nothing thrown";
}

TEST(NetworkCounts, RefuseShapesThatNoNetworkHas) {
  const auto error = [](const SupernetSpec& spec, int image_size = 32) {
    return error_of([&] { static_cast<void>(count_supernet(spec, image_size)); });
  };
  EXPECT_EQ(error({.channels = 0}), "DARTS network: channels: found 0, expected 1 to 4096");
  EXPECT_EQ(error({.cells = 101}), "DARTS network: cells: found 101, expected 1 to 100");
  EXPECT_EQ(error({.classes = -1}), "DARTS network: classes: found -1, expected 1 to 1000000");
  EXPECT_EQ(error({.nodes = 17}), "DARTS network: nodes: found 17, expected 1 to 16");
  EXPECT_EQ(error({.partial = 3}), "DARTS network: partial channels K: found 3, expected a divisor of the 16 channels");
  EXPECT_EQ(error({.channels = 5, .stem = Stem::imagenet}),
            "DARTS network: channels: found 5, expected an even number with the ImageNet stem");
  EXPECT_EQ(error({.reduce = all_ops(3)}), "DARTS network: mask of the reduction cells: found 9 edges, expected 14");
  EXPECT_EQ(error({}, 30), "image size: found 30, expected 4 to 4096, a multiple of 4");
  EXPECT_EQ(error({.stem = Stem::imagenet}, 48), "image size: found 48, expected 32 to 4096, a multiple of 32");
}

}  // namespace
}  // namespace flowdarts::darts
