#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <flowdarts/spaces/nas_bench_201/benchmark_table.hpp>
#include <flowdarts/spaces/nas_bench_201/shipped_table.hpp>
#include <flowdarts/spaces/support/error.hpp>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace flowdarts::nas_bench_201 {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

const std::string header = "arch,cifar10_test,cifar100_test,imagenet16_120_test\n";
const std::string all_none = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|";

/// A valid table whose cells all differ on CIFAR-10.
std::string valid_csv() {
  std::string csv = header;
  for (int index = 0; index < genotype_count; ++index) {
    csv += to_string(Genotype::from_index(index)) + "," + std::to_string(index / 200.0) + ",50,1e1\n";
  }
  return csv;
}

std::string read_error(const std::string& content) {
  try {
    static_cast<void>(BenchmarkTable::read(content, "t.csv"));
  } catch (const InputError& error) {
    return error.what();
  }
  return "nothing thrown";
}

std::string gzip(const std::string& text) {
  const auto file = std::filesystem::temp_directory_path() / ("flowdarts_table_" + std::to_string(getpid()) + ".gz");
  gzFile out = gzopen(file.c_str(), "wb9");
  gzwrite(out, text.data(), static_cast<unsigned>(text.size()));
  gzclose(out);
  std::ifstream in(file, std::ios::binary);
  std::string bytes{std::istreambuf_iterator<char>(in), {}};
  std::filesystem::remove(file);
  return bytes;
}

class ShippedTable : public testing::Test {
 protected:
  static void SetUpTestSuite() { table_ = std::make_unique<BenchmarkTable>(BenchmarkTable::shipped()); }
  static void TearDownTestSuite() { table_.reset(); }

  static std::array<double, 3> accuracies(const std::string& text) {
    const Genotype genotype = parse_genotype(text);
    return {table_->accuracy(genotype, DataSet::cifar10), table_->accuracy(genotype, DataSet::cifar100),
            table_->accuracy(genotype, DataSet::imagenet16_120)};
  }

  static inline std::unique_ptr<BenchmarkTable> table_;
};

TEST_F(ShippedTable, HasTheKnownBestCells) {
  const auto best = [](DataSet set) {
    std::vector<std::string> texts;
    for (const Genotype& genotype : table_->best(set)) {
      EXPECT_EQ(table_->rank(genotype, set), 1);
      texts.push_back(to_string(genotype));
    }
    return texts;
  };
  const std::string c10 =
      "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_1x1~2|";
  const std::string c10_tie =
      "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_1x1~1|nor_conv_3x3~2|";
  const std::string c100 =
      "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|";
  const std::string in16 =
      "|nor_conv_1x1~0|+|nor_conv_1x1~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|";
  EXPECT_THAT(best(DataSet::cifar10), ElementsAre(c10_tie, c10));
  EXPECT_THAT(best(DataSet::cifar100), ElementsAre(c100));
  EXPECT_THAT(best(DataSet::imagenet16_120), ElementsAre(in16));
  EXPECT_EQ(accuracies(c10)[0], 94.3733);
  EXPECT_EQ(accuracies(c10_tie)[0], 94.3733);
  EXPECT_EQ(accuracies(c100)[1], 73.5133);
  EXPECT_EQ(accuracies(in16)[2], 47.3111);
}

TEST_F(ShippedTable, KnowsTheCollapsedCell) {
  EXPECT_THAT(
      accuracies("|skip_connect~0|+|skip_connect~0|skip_connect~1|+|skip_connect~0|skip_connect~1|skip_connect~2|"),
      ElementsAre(54.2967, 15.6067, 16.3222));
}

TEST_F(ShippedTable, GivesTheUnconnectedCellsChance) {
  int unconnected = 0;
  for (int index = 0; index < genotype_count; ++index) {
    const Genotype genotype = Genotype::from_index(index);
    const auto found = accuracies(to_string(genotype));
    if (is_connected(genotype)) {
      ASSERT_NE(found[0], 10.0);
    } else {
      ++unconnected;
      ASSERT_THAT(found, ElementsAre(10.0, 1.0, 0.8333));
    }
  }
  EXPECT_EQ(unconnected, 341);
}

TEST_F(ShippedTable, RanksByAccuracyWithSharedRanks) {
  for (const DataSet set : all_data_sets) {
    std::map<double, int> cells_with;
    for (int index = 0; index < genotype_count; ++index) {
      ++cells_with[table_->accuracy(Genotype::from_index(index), set)];
    }
    std::map<double, int> rank_of;
    int better = 0;
    for (auto it = cells_with.rbegin(); it != cells_with.rend(); ++it) {
      rank_of[it->first] = better + 1;
      better += it->second;
    }
    for (int index = 0; index < genotype_count; ++index) {
      const Genotype genotype = Genotype::from_index(index);
      ASSERT_EQ(table_->rank(genotype, set), rank_of.at(table_->accuracy(genotype, set)));
    }
  }
}

TEST_F(ShippedTable, IsTheSharedTableByteForByte) {
  const char* given = std::getenv("FLOWDARTS_SHARED_DATA");
  const std::filesystem::path folder = given != nullptr ? given : FLOWDARTS_SOURCE_DIR "/../shared/data";
  std::ifstream file(folder / "nas-bench-201-200ep.csv", std::ios::binary);
  if (!file) GTEST_SKIP() << "no nas-bench-201-200ep.csv in " << folder;
  const std::string shared{std::istreambuf_iterator<char>(file), {}};
  gzFile in = gzopen(FLOWDARTS_SOURCE_DIR "/spaces/nas_bench_201/data/nas-bench-201-200ep.csv.gz", "rb");
  std::string shipped(shared.size() + 1, '\0');
  shipped.resize(static_cast<std::size_t>(gzread(in, shipped.data(), static_cast<unsigned>(shipped.size()))));
  gzclose(in);
  EXPECT_TRUE(shipped == shared);
}

TEST_F(ShippedTable, IsTheFileInTheSourceTree) {
  std::ifstream file(FLOWDARTS_SOURCE_DIR "/spaces/nas_bench_201/data/nas-bench-201-200ep.csv.gz", std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(file), {}};
  EXPECT_TRUE(std::ranges::equal(shipped_table(), bytes, {}, {}, [](char c) { return static_cast<unsigned char>(c); }));
}

TEST(BenchmarkTable, ReadsPlainAndCompressedTextWithEitherLineEnd) {
  const std::string csv = valid_csv();
  std::string crlf;
  for (const char c : csv) crlf += c == '\n' ? "\r\n" : std::string(1, c);
  const Genotype genotype = Genotype::from_index(12000);
  for (const std::string& content : {csv, crlf, gzip(csv), csv.substr(0, csv.size() - 1)}) {
    const BenchmarkTable table = BenchmarkTable::read(content, "t.csv");
    EXPECT_EQ(table.accuracy(genotype, DataSet::cifar10), 60.0);
    EXPECT_EQ(table.accuracy(genotype, DataSet::imagenet16_120), 10.0);
    EXPECT_EQ(table.rank(genotype, DataSet::cifar10), 15625 - 12000);
    EXPECT_EQ(table.rank(genotype, DataSet::cifar100), 1);
    EXPECT_EQ(table.best(DataSet::cifar100).size(), 15625U);
  }
}

TEST(BenchmarkTable, RefusesABadLineWithItsNumber) {
  const auto error = [](const std::string& line) { return read_error(header + line); };
  EXPECT_EQ(read_error("arch,cifar10\n"),
            "t.csv:1: found \"arch,cifar10\", expected the header \"" + header.substr(0, header.size() - 1) + "\"");
  EXPECT_THAT(read_error("\xef\xbb\xbf" + header), HasSubstr("t.csv:1: found \"\\xef\\xbb\\xbfarch"));
  EXPECT_EQ(error("\n"), "t.csv:2: found 1 fields, expected 4");
  EXPECT_EQ(error(all_none + ",1,2\n"), "t.csv:2: found 3 fields, expected 4");
  EXPECT_EQ(error(all_none + ",1,2,3,4\n"), "t.csv:2: found 5 fields, expected 4");
  EXPECT_THAT(error("|nine~0|,1,2,3\n"), HasSubstr("t.csv:2: architecture string, character 2: found \"nine\""));
  EXPECT_EQ(error(all_none + ",1,2,3\n" + all_none + ",1,2,3\n"),
            "t.csv:3: found " + all_none + " again, first in line 2");
  for (const std::string bad : {"", "x", "1x", " 1", "+1", "nan", "inf", "-0.1", "100.001", "1e999", "0x10", "1;2"}) {
    EXPECT_EQ(error(all_none + ",1," + bad + ",3\n"),
              "t.csv:2: cifar100_test: found \"" + bad + "\", expected a number from 0 to 100");
  }
}

TEST(BenchmarkTable, RefusesMissingCells) {
  EXPECT_EQ(read_error(""),
            "t.csv:1: found the end of the table after 0 cells, expected 15625; the first missing is " + all_none);
  std::string csv = valid_csv();
  const Genotype gone = Genotype::from_index(77);
  const std::size_t at = csv.find(to_string(gone));
  csv.erase(at, csv.find('\n', at) + 1 - at);
  EXPECT_EQ(read_error(csv),
            "t.csv:15626: found the end of the table after 15624 cells, expected 15625; the first "
            "missing is " +
                to_string(gone));
}

TEST(BenchmarkTable, RefusesDamagedCompressedText) {
  const std::string whole = gzip(valid_csv());
  EXPECT_THAT(read_error(whole.substr(0, 2)), HasSubstr("t.csv: byte 2: found the end of the file"));
  EXPECT_THAT(read_error(whole.substr(0, whole.size() / 2)), HasSubstr("found the end of the file"));
  EXPECT_THAT(read_error(whole.substr(0, whole.size() - 1)), HasSubstr("found the end of the file"));
  EXPECT_THAT(read_error(whole + "x"), HasSubstr("found data behind the gzip stream"));
  std::string flipped = whole;
  flipped[whole.size() - 6] ^= 1;  // the checksum
  EXPECT_THAT(read_error(flipped), HasSubstr("damaged data"));
  EXPECT_THAT(read_error(gzip(std::string(std::size_t{20} << 20U, ' '))),
              HasSubstr("more than 16 MiB when uncompressed"));
  EXPECT_THAT(read_error(std::string(std::size_t{20} << 20U, ' ')), HasSubstr("more than 16 MiB"));
}

TEST(BenchmarkTable, NamesAFileThatCannotBeRead) {
  const auto error = [](const std::filesystem::path& file) -> std::string {
    try {
      static_cast<void>(BenchmarkTable::load(file));
    } catch (const InputError& e) {
      return e.what();
    }
    return "";
  };
  EXPECT_EQ(error("/no/such/table.csv"), "/no/such/table.csv: cannot open: No such file or directory");
  EXPECT_EQ(error("/"), "/: found a folder, expected a benchmark table");
}

}  // namespace
}  // namespace flowdarts::nas_bench_201
