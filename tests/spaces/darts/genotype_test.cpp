#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <flowdarts/spaces/darts/draw.hpp>
#include <flowdarts/spaces/darts/genotype.hpp>
#include <flowdarts/spaces/support/error.hpp>
#include <functional>
#include <string>
#include <vector>

namespace flowdarts::darts {
namespace {

using ::testing::HasSubstr;

const std::string darts_v2 =
    "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('sep_conv_3x3', 1), "
    "('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0), ('dil_conv_3x3', 2)], normal_concat=range(2, 6), "
    "reduce=[('max_pool_3x3', 0), ('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 1), ('max_pool_3x3', 0), "
    "('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)], reduce_concat=range(2, 6))";

// One node a cell, for the grammar.
const std::string tiny =
    "Genotype(normal=[('sep_conv_3x3', 1), ('skip_connect', 0)], normal_concat=range(2, 3), "
    "reduce=[('max_pool_3x3', 0), ('avg_pool_3x3', 0)], reduce_concat=range(2, 3))";

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

/// `text` with its first `from` replaced.
std::string with(std::string text, const std::string& from, const std::string& to) {
  const std::size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

TEST(Genotype, NumbersEdgesByNodeThenSource) {
  EXPECT_EQ(first_edge(0), 0U);
  EXPECT_EQ(first_edge(1), 2U);
  EXPECT_EQ(first_edge(2), 5U);
  EXPECT_EQ(first_edge(3), 9U);
  EXPECT_EQ(edge_count(4), 14U);
}

TEST(ParseGenotype, ReadsTheConstantsOfTheRepositories) {
  const Genotype genotype = parse_genotype(darts_v2);
  ASSERT_EQ(genotype.normal.nodes(), 4);
  EXPECT_EQ(genotype.normal.inputs[7], (Input{Op::dil_conv_3x3, 2}));
  EXPECT_EQ(genotype.reduce.inputs[2], (Input{Op::skip_connect, 2}));
  EXPECT_EQ(genotype.reduce.concat, (std::vector<int>{2, 3, 4, 5}));
  EXPECT_EQ(to_string(genotype), darts_v2);
}

TEST(ParseGenotype, ReadsWhatPythonAccepts) {
  const Genotype expected = parse_genotype(tiny);
  for (const std::string& text : std::vector<std::string>{
           "MINE = " + tiny, "_a1=" + tiny, "  " + tiny + "\n", "Genotype = " + tiny,
           "Genotype(normal=[('sep_conv_3x3',1),('skip_connect',0)],normal_concat=range(2,3),reduce=[('max_pool_3x3',0)"
           ",('avg_pool_3x3',0)],reduce_concat=range(2,3))",
           "Genotype(\n  normal = [\n\t(\"sep_conv_3x3\", 1),\r\n    ('skip_connect', 0),\n  ],\n  normal_concat = "
           "[2],\n  reduce = [('max_pool_3x3', 0), ('avg_pool_3x3', 0,),],\n  reduce_concat = [2,],\n)"}) {
    EXPECT_EQ(parse_genotype(text), expected) << text;
  }
}

// Five nodes, gaps in the concat lists, two widths, ops beyond the space: NASNet and AmoebaNet have all of these.
TEST(ParseGenotype, ReadsHandMadeCells) {
  const std::string text =
      "Genotype(normal=[('sep_conv_5x5', 1), ('sep_conv_7x7', 0), ('conv_7x1_1x7', 0), ('sep_conv_3x3', 0), "
      "('avg_pool_3x3', 1), ('skip_connect', 0), ('avg_pool_3x3', 0), ('avg_pool_3x3', 0), ('sep_conv_3x3', 5), "
      "('skip_connect', 1)], normal_concat=range(2, 7), reduce=[('sep_conv_5x5', 1), ('sep_conv_7x7', 0), "
      "('max_pool_3x3', 1), ('sep_conv_7x7', 0)], reduce_concat=[3])";
  const Genotype genotype = parse_genotype(text);
  EXPECT_EQ(genotype.normal.nodes(), 5);
  EXPECT_EQ(genotype.reduce.nodes(), 2);
  EXPECT_EQ(to_string(genotype), with(text, "[3]", "range(3, 4)"));
  const std::string gap = with(text, "range(2, 7)", "[2, 4, 6]");
  EXPECT_EQ(to_string(parse_genotype(gap)), with(gap, "[3]", "range(3, 4)"));
}

TEST(ParseGenotype, RefusesEveryMalformedTextWithItsPosition) {
  const std::string ops =
      "max_pool_3x3, avg_pool_3x3, skip_connect, sep_conv_3x3, sep_conv_5x5, dil_conv_3x3, dil_conv_5x5, sep_conv_7x7 "
      "or conv_7x1_1x7";
  struct Case {
    std::string text, message;
  };
  const std::string open = "Genotype(normal=[('";
  for (const auto& [text, message] : std::vector<Case>{
           {"", "line 1, character 1: found the end of the text, expected \"Genotype(\" or a name and \"=\""},
           {"7 = " + tiny, "line 1, character 1: found \"7\", expected \"Genotype(\" or a name and \"=\""},
           {"genotype(", "line 1, character 1: found \"genotype\", expected \"Genotype(\" or a name and \"=\""},
           {"X = Y = " + tiny, "line 1, character 5: found \"Y\", expected \"Genotype\""},
           {tiny + " x", "line 1, character 166: found \"x\", expected the end of the text"},
           {tiny + ")", "line 1, character 165: found \")\", expected the end of the text"},
           {with(tiny, "normal=", "normals="), "line 1, character 10: found \"normals\", expected \"normal\""},
           {with(tiny, "sep_conv_3x3", "none"), "line 1, character 19: found \"'none'\", expected " + ops},
           {with(tiny, "sep_conv_3x3", "sep_conv_9x9"),
            "line 1, character 19: found \"'sep_conv_9x9'\", expected " + ops},
           {with(tiny, "'sep_conv_3x3'", "sep_conv_3x3"),
            "line 1, character 19: found \"sep_conv_3x3\", expected an op in quotes"},
           {with(tiny, "'sep_conv_3x3'", "'sep_conv_3x3"),
            "line 1, character 19: found \"'sep_conv_3x3, 1), ('\", expected " + ops},
           {tiny.substr(0, 31), "line 1, character 32: found the end of the text, expected \"'\""},
           {with(tiny, "3x3', 1)", "3x3', 2)"), "line 1, character 35: found \"2\", expected 0 to 1"},
           {with(tiny, "3x3', 1)", "3x3', -1)"), "line 1, character 35: found \"-\", expected 0 to 1"},
           {with(tiny, "3x3', 1)", "3x3', 01)"), "line 1, character 35: found \"01\", expected 0 to 1"},
           {with(tiny, "3x3', 1)", "3x3', 99999999999)"),
            "line 1, character 35: found \"99999999999\", expected 0 to 1"},
           {with(tiny, ", ('skip_connect', 0)", ""),
            "line 1, character 37: found \"]\", expected the second input of node 0"},
           {with(tiny, "[('sep_conv_3x3', 1), ('skip_connect', 0)]", "[]"),
            "line 1, character 18: found \"]\", expected \"(\""},
           {with(tiny, "range(2, 3)", "range(2, 4)"), "line 1, character 84: found \"4\", expected 3"},
           {with(tiny, "range(2, 3)", "range(1, 3)"), "line 1, character 81: found \"1\", expected 2"},
           {with(tiny, "range(2, 3)", "[3]"), "line 1, character 76: found \"3\", expected 2"},
           {with(tiny, "range(2, 3)", "[2, 2]"), "line 1, character 79: found \"2\", expected \"]\""},
           {with(tiny, ", reduce=", ",\n reduction="), "line 2, character 2: found \"reduction\", expected \"reduce\""},
           {"__import__('os')",
            "line 1, character 1: found \"__import__\", expected \"Genotype(\" or a name and \"=\""},
           {std::string("Genot\0ype", 9),
            "line 1, character 1: found \"Genot\", expected \"Genotype(\" or a name and \"=\""},
       }) {
    EXPECT_EQ(parse_error(text), "genotype, " + message) << text;
  }
  std::string many = open.substr(0, 17);
  for (int i = 0; i < 33; ++i) many += "('skip_connect', 0), ";
  EXPECT_THAT(parse_error(many), HasSubstr("found \"(\", expected \"]\""));
}

TEST(ParseGenotype, RefusesEveryTruncation) {
  for (std::size_t i = 0; i < darts_v2.size(); ++i)
    EXPECT_THAT(parse_error(darts_v2.substr(0, i)), HasSubstr("expected"));
}

TEST(Genotype, SortedFormsAreEqualForOneNetworkOnly) {
  const Genotype genotype = parse_genotype(tiny);
  const Genotype swapped = parse_genotype(
      with(tiny, "('sep_conv_3x3', 1), ('skip_connect', 0)", "('skip_connect', 0), ('sep_conv_3x3', 1)"));
  EXPECT_NE(genotype, swapped);
  EXPECT_EQ(sorted(genotype), sorted(swapped));
  // Two ops that read one state are in the order of the ops.
  EXPECT_EQ(sorted(parse_genotype(
                with(tiny, "('max_pool_3x3', 0), ('avg_pool_3x3', 0)", "('avg_pool_3x3', 0), ('max_pool_3x3', 0)"))),
            sorted(genotype));
  EXPECT_NE(sorted(parse_genotype(with(tiny, "max_pool", "avg_pool"))), sorted(genotype));
}

TEST(GenotypeJson, RoundTripsAndListsTheNodes) {
  const Genotype genotype = parse_genotype(darts_v2);
  const std::string json = to_json(genotype);
  EXPECT_EQ(from_json(json), genotype);
  EXPECT_THAT(json, HasSubstr("\"space\": \"darts\""));
  EXPECT_EQ(from_json(to_json(Genotype{})), Genotype{});
}

TEST(GenotypeJson, RefusesWhatDoesNotFit) {
  const std::string json = to_json(parse_genotype(tiny));
  EXPECT_EQ(json_error("[]"), "genotype JSON: found array, expected an object");
  EXPECT_EQ(json_error("{"), "genotype JSON: byte 2: found no valid JSON, expected an object");
  EXPECT_EQ(json_error("{}"), "genotype JSON: found no member \"space\"");
  EXPECT_EQ(json_error(with(json, "\"darts\"", "\"nas-bench-201\"")),
            "genotype JSON: \"space\": found \"nas-bench-201\", expected \"darts\"");
  EXPECT_THAT(json_error(with(json, "Genotype(normal", "Genotype(abnormal")),
              HasSubstr("genotype JSON: \"genotype\": genotype, line 1, character 10: found \"abnormal\""));
  // Of the lists of nodes, the first is the normal cell's.
  EXPECT_EQ(json_error(with(json, "\"skip_connect\",", "\"avg_pool_3x3\",")),
            "genotype JSON: \"normal\": found a cell other than that of \"genotype\"");
  EXPECT_EQ(json_error(with(json, "\"max_pool_3x3\",", "7,")),
            "genotype JSON: \"reduce\": found a cell other than that of \"genotype\"");
}

TEST(Dot, HasAClusterForEachCell) {
  const std::string dot = to_dot(parse_genotype(tiny));
  EXPECT_THAT(dot, HasSubstr("subgraph cluster_normal {"));
  EXPECT_THAT(dot, HasSubstr("normal1 -> normal2 [label=\"sep_conv_3x3\"];"));
  EXPECT_THAT(dot, HasSubstr("reduce0 -> reduce2 [label=\"avg_pool_3x3\"];"));
  EXPECT_THAT(dot, HasSubstr("reduce2 -> reduce_out;"));
  EXPECT_THAT(dot, HasSubstr("normal0 [label=\"c_{k-2}\"];"));
}

TEST(Draw, WiresEachOpToTheStateItReads) {
  EXPECT_EQ(draw(parse_genotype(darts_v2)), R"(normal cell              k-2  k-1   0    1    2    3
0  = sep_conv_3x3  ◀──────●    │
   + sep_conv_3x3  ◀──────┼────●
1  = sep_conv_3x3  ◀──────●    │    │
   + sep_conv_3x3  ◀──────┼────●    │
2  = sep_conv_3x3  ◀──────┼────●    │    │
   + skip_connect  ◀──────●    │    │    │
3  = skip_connect  ◀──────●    │    │    │    │
   + dil_conv_3x3  ◀──────┼────┼────●    │    │
output                              0    1    2    3

reduction cell           k-2  k-1   0    1    2    3
0  = max_pool_3x3  ◀──────●    │
   + max_pool_3x3  ◀──────┼────●
1  = skip_connect  ◀──────┼────┼────●
   + max_pool_3x3  ◀──────┼────●    │
2  = max_pool_3x3  ◀──────●    │    │    │
   + skip_connect  ◀──────┼────┼────●    │
3  = skip_connect  ◀──────┼────┼────●    │    │
   + max_pool_3x3  ◀──────┼────●    │    │    │
output                              0    1    2    3
)");
}

}  // namespace
}  // namespace flowdarts::darts
