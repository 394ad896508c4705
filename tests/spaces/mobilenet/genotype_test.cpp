#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <flowdarts/spaces/mobilenet/genotype.hpp>
#include <flowdarts/spaces/support/error.hpp>
#include <flowdarts/spaces/support/random.hpp>
#include <fstream>
#include <functional>
#include <limits>
#include <string>
#include <vector>

namespace flowdarts::mobilenet {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

const std::string example =
    "k3e6,k3e3,skip,skip,k5e6,k3e6,k3e6,k3e6,k5e6,k7e6,k3e6,k3e6,k3e6,k3e6,k3e6,k3e6,k3e6,k7e6,k7e6,k5e3,k7e3";

std::string error_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const InputError& error) {
    return error.what();
  }
  return "nothing thrown";
}

std::string parse_error(const std::string& text) {
  return error_of([&] { static_cast<void>(parse_genotype(text)); });
}

std::string json_error(const std::string& text) {
  return error_of([&] { static_cast<void>(from_json(text)); });
}

/// With any op where it may be.
Genotype random_genotype(std::uint64_t number) {
  CounterRng rng(number, Stream::weight_init, 0, 0, 0);
  Genotype genotype;
  for (int layer = 0; layer < layer_count; ++layer) {
    genotype.ops[static_cast<std::size_t>(layer)] =
        static_cast<Op>(std::min(static_cast<int>(rng.uniform(0, columns_of(layer))), columns_of(layer) - 1));
  }
  return genotype;
}

TEST(Chain, HasSixLayersThatMustBeThere) {
  std::vector<int> columns;
  for (int layer = 0; layer < layer_count; ++layer) columns.push_back(columns_of(layer));
  EXPECT_THAT(columns, ElementsAre(6, 7, 7, 7, 6, 7, 7, 7, 6, 7, 7, 7, 6, 7, 7, 7, 6, 7, 7, 7, 6));
}

TEST(Chain, HasThePublishedWidthsStridesAndSides) {
  const std::vector<std::vector<int>> expected{{16, 32, 2}, {32, 40, 2},  {40, 80, 2},
                                               {80, 96, 1}, {96, 192, 2}, {192, 320, 1}};
  for (int layer = 0; layer < layer_count; ++layer) {
    const LayerShape shape = shape_of(layer, {});
    const auto& first = expected[static_cast<std::size_t>(layer / 4)];
    if (layer % 4 == 0) {
      EXPECT_EQ((std::vector{shape.in, shape.out, shape.stride}), first) << layer;
    } else {
      EXPECT_EQ((std::vector{shape.in, shape.out, shape.stride}), (std::vector{first[1], first[1], 1})) << layer;
    }
    EXPECT_EQ(shape.keeps_shape(), layer % 4 != 0);
  }
  EXPECT_EQ(last_side(224, 2), 7);
  EXPECT_EQ(last_side(32, 2), 1);
  EXPECT_EQ(last_side(32, 1), 2);
  EXPECT_EQ(last_side(33, 2), 2);  // 17, 9, 5, 3, 2
}

TEST(Chain, OpsAreKernelsAndExpansions) {
  std::vector<std::string> names;
  for (int op = 0; op < conv_op_count; ++op) {
    names.push_back("k" + std::to_string(kernel_of(static_cast<Op>(op))) + "e" +
                    std::to_string(expansion_of(static_cast<Op>(op))));
    EXPECT_EQ(names.back(), name_of(static_cast<Op>(op)));
  }
  EXPECT_EQ(name_of(Op::skip), "skip");
}

TEST(Widths, SurviveTheirText) {
  EXPECT_EQ(to_string(Widths{}), "32,16,32,40,80,96,192,320,1280");
  const Widths narrow{.stem = 4, .stages = {1, 2, 3, 4, 5, 6, 4096}, .head = 8};
  EXPECT_EQ(to_string(narrow), "4,1,2,3,4,5,6,4096,8");
  EXPECT_EQ(parse_widths("4,1,2,3,4,5,6,4096,8"), narrow);
}

TEST(Widths, RefuseWhatIsNotNineWidths) {
  const auto error = [](std::string_view text) { return error_of([&] { static_cast<void>(parse_widths(text)); }); };
  const std::string expected = ", expected a width from 1 to 4096 (stem, stages 0 to 6 and head, joined by commas)";
  EXPECT_EQ(error(""), "widths, number 1 of 9: found \"\"" + expected);
  EXPECT_EQ(error("32,16"), "widths, number 3 of 9: found \"\"" + expected);
  EXPECT_EQ(error("32,0,32,40,80,96,192,320,1280"), "widths, number 2 of 9: found \"0\"" + expected);
  EXPECT_EQ(error("32,16,4097,40,80,96,192,320,1280"), "widths, number 3 of 9: found \"4097\"" + expected);
  EXPECT_EQ(error("32,16,32, 40,80,96,192,320,1280"), "widths, number 4 of 9: found \" 40\"" + expected);
  EXPECT_EQ(error("32,16,32,40,80,96,192,320"), "widths, number 9 of 9: found \"\"" + expected);
  EXPECT_EQ(error("32,16,32,40,80,96,192,320,1280,"), "widths, number 9 of 9: found \"1280,\"" + expected);
  EXPECT_EQ(error("32,16,32,40,80,96,192,320,+1"), "widths, number 9 of 9: found \"+1\"" + expected);
  EXPECT_EQ(error("99999999999999999999"), "widths, number 1 of 9: found \"99999999999999999999\"" + expected);
}

TEST(LayerString, IsReadInTheOrderOfTheLayers) {
  const Genotype genotype = parse_genotype(example);
  EXPECT_EQ(genotype.ops[0], Op::k3e6);
  EXPECT_EQ(genotype.ops[2], Op::skip);
  EXPECT_EQ(genotype.ops[4], Op::k5e6);
  EXPECT_EQ(genotype.ops[19], Op::k5e3);
  EXPECT_EQ(genotype.ops[20], Op::k7e3);
  EXPECT_EQ(to_string(genotype), example);
}

TEST(LayerString, ManyGenotypesSurviveStringAndJson) {
  for (std::uint64_t number = 0; number < 500; ++number) {
    const Genotype genotype = random_genotype(number);
    ASSERT_EQ(parse_genotype(to_string(genotype)), genotype);
    ASSERT_EQ(from_json(to_json(genotype)), genotype);
  }
}

TEST(LayerString, RefusesEveryMalformedTextWithItsPosition) {
  const std::string convs = "k3e3, k3e6, k5e3, k5e6, k7e3 or k7e6";
  const std::string first = convs + ": this layer changes width or resolution, so none may skip it";
  const std::string later = convs + ", or skip";
  struct Case {
    std::string text, where, found, expected;
  };
  const std::vector<Case> cases{
      {"", "1, layer 0", "the end of the text", first},
      {"skip", "1, layer 0", "\"skip\"", first},
      {"k3e4", "1, layer 0", "\"k3e4\"", first},
      {"K3E3,", "1, layer 0", "\"K3E3\"", first},
      {" k3e3,", "1, layer 0", "\" k3e3\"", first},
      {",k3e3", "1, layer 0", "\",\"", first},
      {"k3e3", "5, layer 1", "the end of the text", "\",\""},
      {"k3e3;k3e3", "1, layer 0", "\"k3e3;k3e3\"", first},
      {"k3e3,", "6, layer 1", "the end of the text", later},
      {"k3e3,,k3e3", "6, layer 1", "\",\"", later},
      {"k3e3, skip", "6, layer 1", "\" skip\"", later},
      {"k3e3,identity", "6, layer 1", "\"identity\"", later},
      {"k3e3,skip,skip,skip,skip", "21, layer 4", "\"skip\"", first},
      {example.substr(0, example.size() - 5), "100, layer 20", "the end of the text", "\",\""},
      {example + ",", "105", "\",\"", "the end of the text"},
      {example + ",skip", "105", "\",skip\"", "the end of the text"},
      {example.substr(0, example.size() - 4) + "skip", "101, layer 20", "\"skip\"", first},
      {example + "\n", "101, layer 20", "\"k7e3\\x0a\"", first},
      {std::string("k3\0e3", 5), "1, layer 0", "\"k3\\x00e3\"", first},
  };
  for (const Case& c : cases) {
    EXPECT_EQ(parse_error(c.text),
              "layer string, character " + c.where + ": found " + c.found + ", expected " + c.expected);
  }
}

TEST(LayerString, RefusesEveryTruncationAndEveryChangedCharacter) {
  for (std::size_t i = 0; i < example.size(); ++i) {
    EXPECT_THAT(parse_error(example.substr(0, i)), HasSubstr("expected")) << i;
    std::string changed = example;
    changed[i] = '?';
    EXPECT_THAT(parse_error(changed), HasSubstr("expected")) << i;
  }
}

TEST(MobilenetJson, NamesSpaceGenotypeAndTheOpOfEachLayer) {
  const std::string json = to_json(parse_genotype(example));
  EXPECT_THAT(json, testing::StartsWith("{\n  \"space\": \"mobilenet\",\n  \"genotype\": \"" + example +
                                        "\",\n  \"ops\": [\n    \"k3e6\",\n    \"k3e3\",\n    \"skip\","));
  EXPECT_THAT(json, testing::EndsWith("\"k5e3\",\n    \"k7e3\"\n  ]\n}\n"));
}

TEST(MobilenetJson, IgnoresOtherMembersAndMissingOps) {
  EXPECT_EQ(from_json(R"({"epoch": 3, "genotype": ")" + example + R"(", "space": "mobilenet"})"),
            parse_genotype(example));
}

TEST(MobilenetJson, RefusesWhatIsNotAGenotype) {
  EXPECT_EQ(json_error("{\"space\": }"), "genotype JSON: byte 11: found no valid JSON, expected an object");
  EXPECT_EQ(json_error("1e999"), "genotype JSON: found a number beyond the range of a double");
  EXPECT_EQ(json_error("[]"), "genotype JSON: found array, expected an object");
  EXPECT_EQ(json_error("{}"), "genotype JSON: found no member \"space\"");
  EXPECT_EQ(json_error(R"({"space": 3})"), "genotype JSON: \"space\": found number, expected a string");
  EXPECT_EQ(json_error(R"({"space": "nas-bench-201"})"),
            "genotype JSON: \"space\": found \"nas-bench-201\", expected \"mobilenet\"");
  EXPECT_EQ(json_error(R"({"space": "mobilenet"})"), "genotype JSON: found no member \"genotype\"");
  EXPECT_EQ(json_error(R"({"space": "mobilenet", "genotype": "skip"})"),
            "genotype JSON: \"genotype\": " + parse_error("skip"));
  EXPECT_THAT(json_error(std::string(200000, '[')), HasSubstr("genotype JSON: byte"));

  const std::string json = to_json(parse_genotype(example));
  const auto changed = [&](const std::string& from, const std::string& to) {
    std::string text = json;
    text.replace(text.rfind(from), from.size(), to);
    return json_error(text);
  };
  EXPECT_EQ(changed("\"k7e3\"", "\"k7e6\""),
            "genotype JSON: \"ops\": layer 20: found \"k7e6\", expected \"k7e3\" as in \"genotype\"");
  EXPECT_EQ(changed("\"k7e3\"", "7"),
            "genotype JSON: \"ops\": layer 20: found number, expected \"k7e3\" as in \"genotype\"");
  EXPECT_EQ(changed(",\n    \"k7e3\"", ""), "genotype JSON: \"ops\": expected an array of the 21 layers' ops");
}

TEST(MobilenetDot, IsAcceptedByGraphviz) {
  if (std::system("dot -V >/dev/null 2>&1") != 0) GTEST_SKIP() << "no Graphviz (dot) here";
  const auto file = std::filesystem::temp_directory_path() / ("flowdarts_chain_" + std::to_string(getpid()) + ".dot");
  std::ofstream(file) << to_dot(parse_genotype(example));
  EXPECT_EQ(std::system(("dot -Tsvg -o /dev/null '" + file.string() + "'").c_str()), 0);
  std::filesystem::remove(file);
}

TEST(MobilenetDot, HasANodeForEveryLayerInOneChain) {
  const std::string dot = to_dot(parse_genotype(example));
  EXPECT_THAT(dot, HasSubstr("input -> stem -> stage0 -> 0 -> 1 -> 2 -> 3 -> 4 -> 5 -> 6 -> 7 -> 8 -> 9 -> 10 -> 11 -> "
                             "12 -> 13 -> 14 -> 15 -> 16 -> 17 -> 18 -> 19 -> 20 -> head -> output;"));
  EXPECT_THAT(dot, HasSubstr("cluster_1 {\n    label=\"stage 1, stride 2\";\n    0 [label=\"k3e6\"];\n"
                             "    1 [label=\"k3e3\"];\n    2 [label=\"skip\", style=dashed, color=grey];\n"));
  EXPECT_THAT(dot, HasSubstr("cluster_6 {\n    label=\"stage 6, stride 1\";\n    20 [label=\"k7e3\"];\n  }\n}\n"));
}

TEST(MobilenetNames, AreProxylessNass) {
  const auto names = to_proxyless(parse_genotype(example));
  ASSERT_EQ(names.size(), 21U);
  EXPECT_EQ(names[0], "3x3_MBConv6");
  EXPECT_EQ(names[2], "Zero");
  EXPECT_EQ(names[19], "5x5_MBConv3");
}

// Written by hand from the table of strides and widths.
TEST(MobilenetNames, AreTimmsBlockStrings) {
  EXPECT_THAT(to_timm(parse_genotype(example)),
              ElementsAre(ElementsAre("ds_r1_k3_s1_e1_c16"),                        //
                          ElementsAre("ir_r1_k3_s2_e6_c32", "ir_r1_k3_s1_e3_c32"),  //
                          ElementsAre("ir_r1_k5_s2_e6_c40", "ir_r3_k3_s1_e6_c40"),  //
                          ElementsAre("ir_r1_k5_s2_e6_c80", "ir_r1_k7_s1_e6_c80", "ir_r2_k3_s1_e6_c80"),
                          ElementsAre("ir_r4_k3_s1_e6_c96"),  // stride 1 from its first layer on
                          ElementsAre("ir_r1_k3_s2_e6_c192", "ir_r2_k7_s1_e6_c192", "ir_r1_k5_s1_e3_c192"),
                          ElementsAre("ir_r1_k7_s1_e3_c320")));
}

std::vector<std::vector<double>> zeros() {
  std::vector<std::vector<double>> scores;
  for (int layer = 0; layer < layer_count; ++layer) scores.emplace_back(static_cast<std::size_t>(columns_of(layer)));
  return scores;
}

TEST(MobilenetDerive, TakesTheLargestOfAllOpsAndTheLowestColumnOnATie) {
  auto scores = zeros();
  EXPECT_EQ(derive(scores), Genotype{});  // all tied: k3e3
  constexpr double infinity = std::numeric_limits<double>::infinity();
  scores[0] = {-1, -2, -0.5, -0.5, -3, -4};
  scores[1] = {0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.61};  // skip competes
  scores[2] = {0, 0, 0, 0, 0, 1e-300, 0};
  scores[3] = {-infinity, -infinity, -infinity, -infinity, -1000, -infinity, -infinity};
  scores[20] = {0, 1, 2, 3, 2, infinity};
  EXPECT_EQ(to_string(derive(scores)),
            "k5e3,skip,k7e6,k7e3,k3e3,k3e3,k3e3,k3e3,k3e3,k3e3,k3e3,k3e3,k3e3,k3e3,k3e3,k3e3,k3e3,k3e3,k3e3,k3e3,k7e6");
}

TEST(MobilenetDerive, RefusesNanAndAnotherSize) {
  const auto error = [](const std::vector<std::vector<double>>& scores) { return error_of([&] { derive(scores); }); };
  auto scores = zeros();
  scores[5][6] = std::numeric_limits<double>::quiet_NaN();
  EXPECT_EQ(error(scores), "scores of a chain: layer 5, op skip: found NaN, expected a number");
  scores = zeros();
  scores[4].push_back(0);
  EXPECT_EQ(error(scores), "scores of a chain: layer 4: found 7 numbers, expected 6");
  scores = zeros();
  scores.pop_back();
  EXPECT_EQ(error(scores), "scores of a chain: found 20 rows, expected 21");
}

}  // namespace
}  // namespace flowdarts::mobilenet
