#include <gtest/gtest.h>

#include <algorithm>
#include <flowdarts/spaces/darts/collapse.hpp>
#include <flowdarts/spaces/mobilenet/collapse.hpp>
#include <flowdarts/spaces/nas_bench_201/benchmark_table.hpp>
#include <flowdarts/spaces/nas_bench_201/collapse.hpp>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace flowdarts {
namespace {

CollapseVerdict of_nas_bench_201(const std::string& text) {
  return collapse_verdict(nas_bench_201::parse_genotype(text));
}

TEST(Collapse, OfNasBench201BeginsWithFourOfSixEdges) {
  const CollapseVerdict three = of_nas_bench_201(
      "|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_3x3~1|skip_connect~2|");
  EXPECT_FALSE(three.collapsed());
  EXPECT_EQ(three.without_parameters(), 3);
  EXPECT_EQ(three.reason(), "3 of 6 ops without parameters (skip_connect 2, avg_pool_3x3 1)");
  const CollapseVerdict four =
      of_nas_bench_201("|nor_conv_3x3~0|+|none~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_1x1~1|skip_connect~2|");
  EXPECT_TRUE(four.collapsed());
  EXPECT_EQ(four.reason(), "4 of 6 ops without parameters (none 1, skip_connect 2, avg_pool_3x3 1)");
  EXPECT_EQ(of_nas_bench_201("|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|nor_conv_3x3~0|nor_conv_1x1~1|"
                             "nor_conv_3x3~2|")
                .reason(),
            "0 of 6 ops without parameters");
}

TEST(Collapse, OfNasBench201IsAlsoACellWithoutAPath) {
  const CollapseVerdict cut =
      of_nas_bench_201("|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|none~0|none~1|none~2|");
  EXPECT_TRUE(cut.collapsed());
  EXPECT_EQ(cut.reason(), "3 of 6 ops without parameters (none 3); no path from input to output");
}

// The threshold's reason: above it the median cell is far below the others.
TEST(Collapse, OfNasBench201IsWhereAccuracyFalls) {
  const auto table = nas_bench_201::BenchmarkTable::shipped();
  std::vector<double> collapsed, others;
  for (int index = 0; index < nas_bench_201::genotype_count; ++index) {
    const auto cell = nas_bench_201::Genotype::from_index(index);
    auto& cells = collapse_verdict(cell).collapsed() ? collapsed : others;
    cells.push_back(table.accuracy(cell, nas_bench_201::DataSet::cifar10));
  }
  const auto median = [](std::vector<double>& values) {
    std::ranges::nth_element(values, values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2));
    return values[values.size() / 2];
  };
  EXPECT_LT(median(collapsed), 90);
  EXPECT_GT(median(others), 92);
}

TEST(Collapse, OfDartsBeginsWithFiveOfEightOpsOfTheNormalCell) {
  const auto verdict = [](const std::vector<darts::Op>& ops) {
    darts::Genotype genotype;  // its reduction cell is all skips
    for (std::size_t i = 0; i < ops.size(); ++i) genotype.normal.inputs[i].op = ops[i];
    return collapse_verdict(genotype);
  };
  using enum darts::Op;
  const CollapseVerdict four = verdict({sep_conv_3x3, sep_conv_3x3, dil_conv_5x5, sep_conv_5x5});
  EXPECT_FALSE(four.collapsed());
  EXPECT_EQ(four.reason(), "4 of 8 ops without parameters (skip_connect 4)");
  const CollapseVerdict five = verdict({sep_conv_3x3, sep_conv_3x3, dil_conv_5x5, max_pool_3x3, avg_pool_3x3});
  EXPECT_TRUE(five.collapsed());
  EXPECT_EQ(five.reason(), "5 of 8 ops without parameters (max_pool_3x3 1, avg_pool_3x3 1, skip_connect 3)");
}

TEST(Collapse, OfMobileNetBeginsWithElevenOfTwentyOneLayers) {
  mobilenet::Genotype genotype;
  int skips = 0;
  for (int layer = 0; layer < mobilenet::layer_count && skips < 10; ++layer) {
    if (!mobilenet::may_skip(layer)) continue;
    genotype.ops[static_cast<std::size_t>(layer)] = mobilenet::Op::skip;
    ++skips;
  }
  EXPECT_FALSE(collapse_verdict(genotype).collapsed());
  EXPECT_EQ(collapse_verdict(genotype).reason(), "10 of 21 ops without parameters (skip 10)");
  genotype.ops[19] = mobilenet::Op::skip;
  EXPECT_TRUE(collapse_verdict(genotype).collapsed());
}

TEST(Collapse, IsWrittenAsJson) {
  const nlohmann::ordered_json json =
      of_nas_bench_201("|nor_conv_3x3~0|+|none~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_1x1~1|skip_connect~2|");
  EXPECT_EQ(json.dump(),
            "{\"collapsed\":true,\"ops\":6,\"without_parameters\":4,"
            "\"counts\":{\"none\":1,\"skip_connect\":2,\"avg_pool_3x3\":1},"
            "\"reason\":\"4 of 6 ops without parameters (none 1, skip_connect 2, avg_pool_3x3 1)\"}");
}

}  // namespace
}  // namespace flowdarts
