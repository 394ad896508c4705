#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <flowdarts/spaces/nas_bench_201/genotype.hpp>
#include <flowdarts/spaces/support/error.hpp>
#include <fstream>
#include <functional>
#include <limits>
#include <set>
#include <span>
#include <string>
#include <unordered_set>
#include <vector>

namespace flowdarts::nas_bench_201 {
namespace {

using testing::HasSubstr;

const std::string example =
    "|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_3x3~1|skip_connect~2|";

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

TEST(Genotype, IndexIsBaseFiveWithTheFirstEdgeMostSignificant) {
  EXPECT_EQ(Genotype{}.index(), 0);
  EXPECT_EQ(parse_genotype("|none~0|+|none~0|none~1|+|none~0|none~1|skip_connect~2|").index(), 1);
  EXPECT_EQ(parse_genotype("|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|"
                           "skip_connect~2|")
                .index(),
            13931);
  Genotype pools;
  pools.ops.fill(Op::avg_pool_3x3);
  EXPECT_EQ(pools.index(), 15624);
}

TEST(Genotype, AllOfThemSurviveIndexStringAndJson) {
  std::unordered_set<Genotype> genotypes;
  std::set<std::string> texts;
  for (int index = 0; index < genotype_count; ++index) {
    const Genotype genotype = Genotype::from_index(index);
    ASSERT_EQ(genotype.index(), index);
    ASSERT_EQ(parse_genotype(to_string(genotype)), genotype);
    ASSERT_EQ(from_json(to_json(genotype)), genotype);
    genotypes.insert(genotype);
    texts.insert(to_string(genotype));
  }
  EXPECT_EQ(genotypes.size(), 15625U);
  EXPECT_EQ(texts.size(), 15625U);
}

TEST(Genotype, RefusesAnIndexOutOfRange) {
  EXPECT_THROW(Genotype::from_index(-1), InputError);
  EXPECT_THROW(Genotype::from_index(15625), InputError);
}

TEST(ParseGenotype, ReadsTheOpsInRowOrder) {
  const Genotype expected{
      {Op::nor_conv_3x3, Op::nor_conv_3x3, Op::avg_pool_3x3, Op::skip_connect, Op::nor_conv_3x3, Op::skip_connect}};
  EXPECT_EQ(parse_genotype(example), expected);
  EXPECT_EQ(to_string(expected), example);
}

TEST(ParseGenotype, RefusesEveryMalformedTextWithItsPosition) {
  struct Case {
    std::string text;
    int position;
    std::string found, expected;
  };
  const std::string ops = "none, skip_connect, nor_conv_1x1, nor_conv_3x3 or avg_pool_3x3";
  const std::string end = "the end of the text";
  const std::string good = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|";
  const std::vector<Case> cases{
      {"", 1, end, "\"|\""},
      {"none~0|", 1, "\"n\"", "\"|\""},
      {" " + good, 1, "\" \"", "\"|\""},
      {"|", 2, end, ops},
      {"|nor_conv_5x5~0|", 2, "\"nor_conv_5x5\"", ops},
      {"|None~0|", 2, "\"None\"", ops},
      {"| none~0|", 2, "\" none\"", ops},
      {"|~0|", 2, "\"~\"", ops},
      {"||", 2, "\"|\"", ops},
      {"|none", 6, end, "\"~\""},
      {"|none|", 6, "\"|\"", "\"~\""},
      {"|none~", 7, end, "\"0\""},
      {"|none~1|", 7, "\"1\"", "\"0\""},
      {"|none~-1|", 7, "\"-\"", "\"0\""},
      {"|none~00|", 8, "\"0\"", "\"|\""},
      {"|none~0|", 9, end, "\"+\""},
      {"|none~0||none~0|", 9, "\"|\"", "\"+\""},
      {"|none~0|none~0|", 9, "\"n\"", "\"+\""},
      {"|none~0|+none~0|", 10, "\"n\"", "\"|\""},
      // A node that lists its inputs in another order, or not all: the benchmark's own parser takes these.
      {"|none~0|+|none~1|none~0|+|none~0|none~1|none~2|", 16, "\"1\"", "\"0\""},
      {"|none~0|+|none~0|+|none~0|none~1|none~2|", 18, "\"+\"", ops},
      {"|none~0|+|none~0|none~0|+|none~0|none~1|none~2|", 23, "\"0\"", "\"1\""},
      {good.substr(0, good.size() - 1), 47, end, "\"|\""},
      {good + "\n", 48, "\"\\x0a\"", end},
      {good + "+", 48, "\"+\"", end},
      {good + good, 48, "\"" + good.substr(0, 40) + "...\"", end},
      {std::string("|no\0ne~0|", 9), 2, "\"no\\x00ne\"", ops},
      {"|__import__('os')~0|", 2, "\"__import__('os')\"", ops},
  };
  for (const Case& c : cases) {
    EXPECT_EQ(parse_error(c.text), "architecture string, character " + std::to_string(c.position) + ": found " +
                                       c.found + ", expected " + c.expected);
  }
}

TEST(ParseGenotype, RefusesEveryTruncationAndEveryChangedCharacter) {
  for (std::size_t i = 0; i < example.size(); ++i) {
    EXPECT_THAT(parse_error(example.substr(0, i)), HasSubstr("expected")) << i;
    std::string changed = example;
    changed[i] = '?';
    EXPECT_THAT(parse_error(changed), HasSubstr("expected")) << i;
  }
}

TEST(GenotypeJson, NamesSpaceGenotypeAndTheOpOfEachEdge) {
  EXPECT_EQ(to_json(parse_genotype(example)), R"({
  "space": "nas-bench-201",
  "genotype": ")" + example + R"(",
  "ops": {
    "1<-0": "nor_conv_3x3",
    "2<-0": "nor_conv_3x3",
    "2<-1": "avg_pool_3x3",
    "3<-0": "skip_connect",
    "3<-1": "nor_conv_3x3",
    "3<-2": "skip_connect"
  }
}
)");
}

TEST(GenotypeJson, IgnoresOtherMembersAndMissingOps) {
  EXPECT_EQ(from_json(R"({"epoch": 3, "genotype": ")" + example + R"(", "space": "nas-bench-201"})"),
            parse_genotype(example));
}

TEST(GenotypeJson, RefusesWhatIsNotAGenotype) {
  EXPECT_THAT(json_error(""), HasSubstr("genotype JSON: byte 1"));
  EXPECT_THAT(json_error("{\"space\": }"), HasSubstr("genotype JSON: byte 11"));
  EXPECT_THAT(json_error("[]"), HasSubstr("found array, expected an object"));
  EXPECT_THAT(json_error("{}"), HasSubstr("no member \"space\""));
  EXPECT_THAT(json_error(R"({"space": 3})"), HasSubstr("\"space\": found number, expected a string"));
  EXPECT_THAT(json_error(R"({"space": "darts"})"), HasSubstr("found \"darts\", expected \"nas-bench-201\""));
  EXPECT_THAT(json_error(R"({"space": "nas-bench-201"})"), HasSubstr("no member \"genotype\""));
  EXPECT_EQ(json_error(R"({"space": "nas-bench-201", "genotype": "|none"})"),
            "genotype JSON: \"genotype\": architecture string, character 6: found the end of the text, expected \"~\"");
  EXPECT_THAT(json_error(std::string(200000, '[')), HasSubstr("genotype JSON: byte"));
  EXPECT_THAT(json_error(std::string(200000, '[') + std::string(200000, ']')), HasSubstr("found array"));

  std::string other = to_json(parse_genotype(example));
  other.replace(other.find("\"avg_pool_3x3\""), 14, "\"none\"");
  EXPECT_EQ(json_error(other),
            "genotype JSON: \"ops\": 2<-1: found \"none\", expected \"avg_pool_3x3\" as in \"genotype\"");
  std::string renamed = to_json(parse_genotype(example));
  renamed.replace(renamed.find("2<-1"), 4, "1<-2");
  EXPECT_THAT(json_error(renamed), HasSubstr("no member \"2<-1\""));
}

TEST(GenotypeDot, IsAcceptedByGraphviz) {
  if (std::system("dot -V >/dev/null 2>&1") != 0) GTEST_SKIP() << "no Graphviz (dot) here";
  const auto file =
      std::filesystem::temp_directory_path() / ("flowdarts_genotype_" + std::to_string(getpid()) + ".dot");
  std::ofstream(file) << to_dot(parse_genotype("|nor_conv_3x3~0|+|none~0|nor_conv_1x1~1|+|none~0|none~1|none~2|"));
  EXPECT_EQ(std::system(("dot -Tsvg -o /dev/null '" + file.string() + "'").c_str()), 0);
  std::filesystem::remove(file);
}

TEST(GenotypeDot, HasAnEdgeForEveryOp) {
  const std::string dot = to_dot(parse_genotype(example));
  EXPECT_THAT(dot, HasSubstr("0 -> 1 [label=\"nor_conv_3x3\"]"));
  EXPECT_THAT(dot, HasSubstr("1 -> 2 [label=\"avg_pool_3x3\"]"));
  EXPECT_THAT(dot, HasSubstr("2 -> 3 [label=\"skip_connect\"]"));
  EXPECT_THAT(to_dot(Genotype{}), HasSubstr("1 -> 3 [label=\"none\", style=dashed, color=grey]"));
}

TEST(Derive, TakesTheLargestOfAllOpsAndTheLowestColumnOnATie) {
  std::array<double, 30> scores{};
  EXPECT_EQ(derive(scores), Genotype{});  // all tied: `none` wins
  scores[0 * 5 + 3] = 1;
  scores[1 * 5 + 4] = 1e-300;
  scores[2 * 5 + 1] = scores[2 * 5 + 2] = 2;
  for (std::size_t op = 0; op < 4; ++op) scores[3 * 5 + op] = -std::numeric_limits<double>::infinity();
  scores[3 * 5 + 4] = -1000;
  scores[4 * 5 + 2] = std::numeric_limits<double>::infinity();
  for (std::size_t op = 0; op < 5; ++op) scores[5 * 5 + op] = -1;
  EXPECT_EQ(to_string(derive(scores)),
            "|nor_conv_3x3~0|+|avg_pool_3x3~0|skip_connect~1|+|avg_pool_3x3~0|nor_conv_1x1~1|none~2|");
}

TEST(Derive, RefusesNanAndAnotherSize) {
  std::array<double, 30> scores{};
  scores[17] = std::numeric_limits<double>::quiet_NaN();
  EXPECT_EQ(error_of([&] { derive(scores); }),
            "scores of a cell: edge 3<-0, op nor_conv_1x1: found NaN, expected a number");
  EXPECT_EQ(error_of([&] { derive(std::span(scores).first(29)); }),
            "scores of a cell: found 29 numbers, expected 6 x 5");
}

TEST(UniqueString, HasTheBenchmarksNumberOfClasses) {
  const auto classes = [](Isomorphism isomorphism) {
    std::set<std::string> texts;
    for (int index = 0; index < genotype_count; ++index) {
      texts.insert(unique_string(Genotype::from_index(index), isomorphism));
    }
    return texts.size();
  };
  EXPECT_EQ(classes(Isomorphism::none_and_skip), 6466U);
  EXPECT_EQ(classes(Isomorphism::skip), 12751U);
  EXPECT_EQ(classes(Isomorphism::plain), 15625U);
}

TEST(UniqueString, IsTheBenchmarksText) {
  const Genotype cell =
      parse_genotype("|none~0|+|nor_conv_1x1~0|avg_pool_3x3~1|+|skip_connect~0|none~1|skip_connect~2|");
  EXPECT_EQ(unique_string(cell), "#+#+(0)@nor_conv_1x1+0");
  EXPECT_EQ(unique_string(cell, Isomorphism::skip), "((0)@none)@avg_pool_3x3+(0)@nor_conv_1x1+((0)@none)@none+0");
  EXPECT_EQ(unique_string(Genotype{}), "#+#+#");
}

TEST(IsConnected, HoldsFor15284Cells) {
  int connected = 0;
  for (int index = 0; index < genotype_count; ++index) connected += is_connected(Genotype::from_index(index)) ? 1 : 0;
  EXPECT_EQ(connected, 15284);
}

}  // namespace
}  // namespace flowdarts::nas_bench_201
