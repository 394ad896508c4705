#include <gmock/gmock.h>

#include <cmath>
#include <flowdarts/spaces/support/error.hpp>
#include <report/op_tables.hpp>

#include "written_runs.hpp"

namespace flowdarts::report {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::ThrowsMessage;

std::vector<std::string> chosen_ops(const OpTable& table) {
  std::vector<std::string> chosen;
  for (std::size_t row = 0; row < table.rows.size(); ++row) {
    for (std::size_t column = 0; column < table.columns.size(); ++column) {
      if (table.is_chosen(row, column)) chosen.push_back(table.rows[row] + " " + table.columns[column]);
    }
  }
  return chosen;
}

TEST(OpTables, OfNasBench201) {
  const auto tables = op_tables("nas-bench-201", {numbers(30, 0), numbers(6, 1)}, nas_bench_cell);
  ASSERT_EQ(tables.size(), 2U);
  EXPECT_EQ(tables[0].name, "");
  EXPECT_DOUBLE_EQ(tables[0].value(2, 4), 0.14);
  EXPECT_THAT(chosen_ops(tables[0]), ElementsAre("1<-0 nor_conv_3x3", "2<-0 nor_conv_3x3", "2<-1 avg_pool_3x3",
                                                 "3<-0 skip_connect", "3<-1 nor_conv_3x3", "3<-2 skip_connect"));
  EXPECT_EQ(tables[1].name, "edge weights");
  EXPECT_DOUBLE_EQ(tables[1].value(5, 0), 1.05);
  EXPECT_THAT(chosen_ops(tables[1]), ElementsAre());
}

TEST(OpTables, OfTheDartsSpace) {
  const auto tables =
      op_tables("darts", {numbers(112, 0), numbers(112, 2), numbers(14, 4), numbers(14, 5)}, darts_cells);
  ASSERT_EQ(tables.size(), 4U);
  EXPECT_EQ(tables[0].name, "normal cell");
  EXPECT_DOUBLE_EQ(tables[1].value(13, 7), 2 + 1.11);
  EXPECT_THAT(chosen_ops(tables[0]),
              ElementsAre("0<-k-2 sep_conv_3x3", "0<-k-1 skip_connect", "1<-k-2 sep_conv_3x3", "1<-0 dil_conv_5x5",
                          "2<-k-2 sep_conv_3x3", "2<-k-1 skip_connect", "3<-k-1 skip_connect", "3<-2 max_pool_3x3"));
  EXPECT_EQ(tables[3].name, "edge weights, reduction cell");
}

// Seven columns: a search without `none`.
TEST(OpTables, OfTheDartsSpaceWithoutNone) {
  const auto tables = op_tables("darts", {numbers(98, 0), numbers(98, 2)}, darts_cells);
  ASSERT_EQ(tables.size(), 2U);
  EXPECT_EQ(tables[0].columns.front(), "max_pool_3x3");
  EXPECT_EQ(chosen_ops(tables[0]).front(), "0<-k-2 sep_conv_3x3");
}

TEST(OpTables, OfTheMobileNetLikeSpace) {
  Matrices matrices;
  for (int layer = 0; layer < 21; ++layer) matrices.push_back(numbers(layer % 4 == 0 ? 6 : 7, layer));
  const auto tables = op_tables("mobilenet", matrices, layer_string);
  ASSERT_EQ(tables.size(), 1U);
  EXPECT_EQ(tables[0].rows[5], "layer 5, stage 2");
  EXPECT_DOUBLE_EQ(tables[0].value(5, 6), 5.06);
  EXPECT_TRUE(std::isnan(tables[0].value(4, 6))) << "the first layer of a stage cannot be skipped";
  EXPECT_EQ(chosen_ops(tables[0])[3], "layer 3, stage 1 skip");
}

TEST(OpTables, LoseWhatIsGone) {
  auto tables = op_tables("nas-bench-201", {numbers(30, 0)}, "");
  std::vector<double> left(30, 1.0);
  left[7] = 0;
  remove_gone(tables, op_tables("nas-bench-201", {left}, ""));
  EXPECT_TRUE(std::isnan(tables[0].value(1, 2)));
  EXPECT_DOUBLE_EQ(tables[0].value(1, 3), 0.08);
}

TEST(OpTables, RefuseWhatDoesNotFit) {
  const auto refuse = [](const char* space, const Matrices& matrices, const std::string& genotype, const char* reason) {
    EXPECT_THAT([&] { (void)op_tables(space, matrices, genotype); }, ThrowsMessage<InputError>(HasSubstr(reason)));
  };
  refuse("nas-bench-101", {}, "",
         R"(found the space "nas-bench-101", expected "nas-bench-201", "darts" or "mobilenet")");
  refuse("nas-bench-201", {}, "", "matrices of ops: found 0, expected 1 or 2");
  refuse("nas-bench-201", {numbers(29, 0)}, "", "matrix of ops: found 29, expected 6 x 5 numbers");
  refuse("nas-bench-201", {numbers(30, 0)}, "|none~1|", "architecture string");
  refuse("darts", {numbers(112, 0)}, "", "matrices of ops: found 1, expected 2 or 4");
  refuse("darts", {numbers(112, 0), numbers(98, 0)}, "", "matrix of ops: found 98, expected 14 x 8 numbers");
  refuse("mobilenet", {numbers(6, 0)}, "", "matrices of ops: found 1, expected 21");
  refuse("mobilenet", Matrices(21, numbers(7, 0)), "", "ops of layer 0: found 7, expected 6");
}

TEST(GenotypeDot, IsThatOfTheSpace) {
  EXPECT_THAT(genotype_dot("nas-bench-201", nas_bench_cell), HasSubstr("0 -> 3 [label=\"skip_connect\"]"));
  EXPECT_THAT(genotype_dot("darts", darts_cells), HasSubstr("cluster"));
  EXPECT_THAT(genotype_dot("mobilenet", layer_string), HasSubstr("stage 6"));
}

}  // namespace
}  // namespace flowdarts::report
