#include <gtest/gtest.h>

#include <flowdarts/spaces/mobilenet/count.hpp>
#include <flowdarts/spaces/mobilenet/draw.hpp>
#include <flowdarts/spaces/support/error.hpp>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace flowdarts::mobilenet {
namespace {

TEST(MobilenetCounts, MatchEveryGoldenEntry) {
  std::ifstream file(FLOWDARTS_SOURCE_DIR "/tests/spaces/mobilenet/golden.json");
  const auto entries = nlohmann::json::parse(file);
  ASSERT_EQ(entries.size(), 22U);
  for (const auto& entry : entries) {
    SCOPED_TRACE(entry.dump());
    const NetworkShape shape{.widths = parse_widths(entry.at("widths").get<std::string>()),
                             .classes = entry.at("classes"),
                             .image_size = entry.at("resolution")};
    const auto& genotype = entry.at("genotype");
    const NetworkCounts counts =
        genotype.is_null() ? count_supernet(shape) : count_network(parse_genotype(genotype.get<std::string>()), shape);
    EXPECT_EQ(counts.params, entry.at("params"));
    EXPECT_EQ(counts.macs, entry.at("macs"));
    if (entry.contains("block_params")) {
      EXPECT_EQ(counts.block_params, entry.at("block_params"));
    }
  }
}

// By hand: widths 1, 8 classes, an image of one pixel, all k3e3. Stem 27 + 2; fixed block 9 + 1 + 2 + 2; a layer
// 3 + 27 + 3 weights, 12 + 2 of batch norms; head 1 + 2; linear 8 + 8.
TEST(MobilenetCounts, OfTheSmallestNetworkAreThoseWrittenByHand) {
  const NetworkCounts counts =
      count_network({}, {.widths = parse_widths("1,1,1,1,1,1,1,1,1"), .classes = 8, .image_size = 1});
  EXPECT_EQ(counts.params, 29 + 14 + 21 * 47 + 3 + 16);
  EXPECT_EQ(counts.macs, 27 + 10 + 21 * 33 + 1 + 8);
  EXPECT_EQ(counts.block_params.front(), 14);
  EXPECT_EQ(counts.block_params.back(), 47);
  EXPECT_EQ(counts.depth, 1 + 2 + 21 * 3 + 1 + 1);
  Genotype shallow;
  shallow.ops[1] = shallow.ops[20 - 1] = Op::skip;
  EXPECT_EQ(count_network(shallow).depth, 1 + 2 + 19 * 3 + 1 + 1);
}

TEST(MobilenetCounts, StrideOfTheStemChangesMacsAlone) {
  const NetworkShape half{.image_size = 64}, whole{.image_size = 32, .stem_stride = 1};
  EXPECT_EQ(count_supernet(half).params, count_supernet(whole).params);
  EXPECT_EQ(count_supernet(half).macs, count_supernet(whole).macs);
  EXPECT_GT(count_supernet({.image_size = 64, .stem_stride = 1}).macs, 3 * count_supernet(half).macs);
}

TEST(MobilenetCounts, RefuseShapesThatNoNetworkHas) {
  const auto error = [](const NetworkShape& shape) -> std::string {
    try {
      count_supernet(shape);
    } catch (const InputError& e) {
      return e.what();
    }
    return "";
  };
  EXPECT_EQ(error({.widths = {.stem = 0}}), "width of the stem: found 0, expected 1 to 4096");
  EXPECT_EQ(error({.widths = {.stages = {1, 1, 1, 1, 1, 1, 5000}}}),
            "width of a stage: found 5000, expected 1 to 4096");
  EXPECT_EQ(error({.widths = {.head = -3}}), "width of the head: found -3, expected 1 to 4096");
  EXPECT_EQ(error({.classes = 0}), "classes: found 0, expected 1 to 1000000");
  EXPECT_EQ(error({.image_size = 4097}), "image size: found 4097, expected 1 to 4096");
  EXPECT_EQ(error({.stem_stride = 3}), "stem stride: found 3, expected 1 to 2");
}

TEST(MobilenetCounts, DoNotOverflowAtTheLargestShape) {
  const NetworkCounts counts = count_supernet({.widths = parse_widths("4096,4096,4096,4096,4096,4096,4096,4096,4096"),
                                               .classes = 1'000'000,
                                               .image_size = 4096,
                                               .stem_stride = 1});
  // Expanding alone: 27 C^2 a pixel in each of the three layers of stage 1 behind the first.
  EXPECT_GT(counts.macs, std::int64_t{81} * 4096 * 4096 * 2048 * 2048);
}

TEST(MobilenetDraw, ShowsALineAStage) {
  EXPECT_EQ(draw(parse_genotype("k3e6,k3e3,skip,skip,k5e6,k3e6,k3e6,k3e6,k5e6,k7e6,skip,k3e6,k3e6,k3e6,k3e6,k3e6,k3e6,"
                                "k7e6,k7e6,k5e3,k7e3")),
            R"(stem        ── conv 3x3 ── MBConv1 3x3
stage 1  /2 ── MBConv6 3x3 ── MBConv3 3x3 ╌╌╌╌╌ skip ╌╌╌ ╌╌╌╌╌ skip ╌╌╌
stage 2  /2 ── MBConv6 5x5 ── MBConv6 3x3 ── MBConv6 3x3 ── MBConv6 3x3
stage 3  /2 ── MBConv6 5x5 ── MBConv6 7x7 ╌╌╌╌╌ skip ╌╌╌ ── MBConv6 3x3
stage 4     ── MBConv6 3x3 ── MBConv6 3x3 ── MBConv6 3x3 ── MBConv6 3x3
stage 5  /2 ── MBConv6 3x3 ── MBConv6 7x7 ── MBConv6 7x7 ── MBConv3 5x5
stage 6     ── MBConv3 7x7
head        ── conv 1x1 ── average pool ── linear
)");
}

}  // namespace
}  // namespace flowdarts::mobilenet
