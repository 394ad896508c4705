// The laws that hold for every method, on a space at its smallest. A recipe is one line of a *_cases.cpp.

#include "law_case.hpp"

#include "../numbered_images.hpp"
#include "../run_directory/testing.hpp"

#include <gtest/gtest.h>

#include <flowdarts/pipeline/run_directory/checkpoint.hpp>
#include <flowdarts/pipeline/run_directory/metrics.hpp>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <ostream>

namespace flowdarts::testing {

/// For the names of the tests.
void PrintTo(const LawCase& given, std::ostream* out) {
  *out << given.name;
}

namespace {

namespace fs = std::filesystem;

class Laws : public ::testing::TestWithParam<LawCase> {
 protected:
  void SetUp() override { write_numbered_images(folder_ / "cifar10", 60); }

  [[nodiscard]] LawRun run_of(const std::string& name) const {
    return {.data = (folder_ / "cifar10").string(), .out = (folder_ / name).string()};
  }

  [[nodiscard]] std::vector<nlohmann::ordered_json> rows(const std::string& run) const {
    auto all = read_metrics(folder_ / run / "metrics.jsonl");
    for (auto& row : all) {
      row.erase("seconds");
      row.erase("images_per_second");
    }
    return all;
  }

  [[nodiscard]] std::vector<std::byte> last_checkpoint(const std::string& run) const {
    std::vector<fs::path> files;
    for (const auto& entry : fs::directory_iterator(folder_ / run / "checkpoints")) files.push_back(entry.path());
    return read_file(*std::ranges::max_element(files));
  }

  /// No op is chosen that is gone.
  static void expect_only(const LawOps& chosen, const LawOps& left) {
    for (std::size_t m = 0; m < chosen.size(); ++m) {
      ASSERT_EQ(chosen[m].size(), left[m].size());
      for (std::size_t i = 0; i < chosen[m].size(); ++i) EXPECT_LE(chosen[m][i], left[m][i]) << "an op that is gone";
    }
  }

  TemporaryFolder folder_;
};

TEST_P(Laws, EndsInAValidGenotypeWithFiniteAlphasAndMasksThatOnlyShrink) {
  const LawTraits traits = GetParam().traits;
  const LawOutcome outcome = GetParam().run(run_of("run"));
  ASSERT_TRUE(outcome.finished);
  EXPECT_EQ(GetParam().reread(outcome.genotype), outcome.genotype);
  const auto all = rows("run");
  ASSERT_FALSE(all.empty());
  EXPECT_EQ(all.back().at("genotype"), outcome.genotype);
  LawOps left;
  for (const auto& row : all) {
    for (const char* field : {"alpha", "op_weights"}) {
      for (const auto& matrix : row.at(field)) {
        for (const auto& value : matrix) EXPECT_TRUE(value.is_number()) << field << " is not finite";
      }
    }
    EXPECT_EQ(row.at("collapse").is_null(), row.at("genotype").is_null());
    EXPECT_EQ(row.at("cost").is_null(), row.at("genotype").is_null());
    if (row.at("ops_left").is_null()) continue;
    const auto now = row.at("ops_left").get<LawOps>();
    for (std::size_t m = 0; m < left.size(); ++m) {
      for (std::size_t i = 0; i < left[m].size(); ++i) EXPECT_LE(now[m][i], left[m][i]) << "an op came back";
    }
    left = now;
    if (row.at("genotype").is_null()) continue;
    expect_only(GetParam().ops_of(row.at("genotype")), left);
  }
  if (!traits.narrows) {
    for (const auto& matrix : left) EXPECT_EQ(std::ranges::count(matrix, 0), 0);
    return;
  }
  const LawOps chosen = GetParam().ops_of(outcome.genotype);
  ASSERT_GE(left.size(), chosen.size());
  for (std::size_t m = 0; m < chosen.size(); ++m) {
    if (traits.to_genotype) {
      EXPECT_EQ(left[m], chosen[m]) << "matrix " << m;
    }
    if (traits.left_of_row == 0) continue;
    const auto columns = GetParam().columns[m];
    for (auto row = left[m].begin(); row != left[m].end(); row += columns) {
      EXPECT_EQ(std::count(row, row + columns, 1), traits.left_of_row) << "matrix " << m;
    }
  }
}

// SIGTERM in one of some forward passes spread over the search, those of measurements among them; then --resume.
TEST_P(Laws, InterruptedAnywhereItResumesBitForBit) {
  if (GetParam().traits.slow) GTEST_SKIP() << "runs once";
  const LawOutcome whole = GetParam().run(run_of("whole"));
  const std::size_t places = GetParam().traits.interruptions;
  std::size_t interrupted = 0;
  for (std::size_t place = 0; place < places; ++place) {
    const std::string name = "run" + std::to_string(place);
    LawRun how = run_of(name);
    how.interrupt_at = place * (whole.passes - 1) / places;
    SCOPED_TRACE("pass " + std::to_string(how.interrupt_at) + " of " + std::to_string(whole.passes));
    const LawOutcome first = GetParam().run(how);
    EXPECT_EQ(first.signal, SIGTERM);
    if (!first.finished) {
      ++interrupted;
      how.resume = true;
      how.interrupt_at = PassCounter::never;
      const LawOutcome second = GetParam().run(how);
      EXPECT_TRUE(second.finished);
      EXPECT_EQ(second.genotype, whole.genotype);
      EXPECT_EQ(first.passes + second.passes, whole.passes) << "a pass was done twice or left out";
    }
    EXPECT_EQ(last_checkpoint(name), last_checkpoint("whole"));
    EXPECT_EQ(rows(name), rows("whole"));
    fs::remove_all(folder_ / name);
  }
  // Where the last measurement takes most of the passes, most signals come after the last step.
  EXPECT_GE(interrupted, 1U);
}

TEST_P(Laws, DoesNotDependOnLoaderThreads) {
  if (GetParam().traits.slow) GTEST_SKIP() << "runs once";
  LawRun one = run_of("one");
  one.loader_threads = 1;
  GetParam().run(one);
  LawRun four = run_of("four");
  four.loader_threads = 4;
  GetParam().run(four);
  EXPECT_EQ(last_checkpoint("one"), last_checkpoint("four"));
}

// Between a search that measures after every epoch and one that measures only where it must, nothing but the record of
// the measurements differs.
TEST_P(Laws, MeasuringLeavesNoTrace) {
  if (!GetParam().traits.measures) GTEST_SKIP() << "takes no measurements for the record alone";
  LawRun often = run_of("often");
  often.measure_every = 1;
  const LawOutcome measured = GetParam().run(often);
  LawRun seldom = run_of("seldom");
  seldom.measure_every = 0;
  const LawOutcome plain = GetParam().run(seldom);
  EXPECT_GT(measured.passes, plain.passes);
  EXPECT_EQ(measured.genotype, plain.genotype);
  const auto with = Checkpoint::parse(last_checkpoint("often"), "often");
  const auto without = Checkpoint::parse(last_checkpoint("seldom"), "seldom");
  for (const char* section : {"weights", "statistics", "momentum", "alpha", "position"}) {
    ByteReader a = with.section(section), b = without.section(section);
    const auto left = a.get_raw(a.remaining()), right = b.get_raw(b.remaining());
    EXPECT_TRUE(std::ranges::equal(left, right)) << section;
  }
  auto rows_with = rows("often"), rows_without = rows("seldom");
  ASSERT_EQ(rows_with.size(), rows_without.size());
  for (std::size_t i = 0; i < rows_with.size(); ++i) {
    EXPECT_FALSE(rows_with[i].at("importance").is_null());
    EXPECT_FALSE(rows_with[i].at("genotype").is_null());
    for (const char* field : {"importance", "genotype", "true_accuracy", "cost", "collapse"}) {
      rows_with[i].erase(field);
      rows_without[i].erase(field);
    }
    EXPECT_EQ(rows_with[i], rows_without[i]);
  }
}

// What an importance measures is on record wherever an architecture follows from it, with the epoch it is of.
TEST_P(Laws, ImportancesAreOnRecordWithTheirEpoch) {
  LawRun how = run_of("run");
  if (GetParam().traits.measures) how.measure_every = 2;
  GetParam().run(how);
  const auto all = rows("run");
  if (all.back().at("importance").is_null()) GTEST_SKIP() << "measures nothing";
  nlohmann::ordered_json before;
  for (const auto& row : all) {
    SCOPED_TRACE(row.dump());
    const auto& importance = row.at("importance");
    EXPECT_EQ(importance.is_null(), row.at("genotype").is_null());
    if (importance.is_null()) continue;
    EXPECT_LE(importance.at("epoch"), row.at("epoch"));
    if (!before.is_null()) {
      EXPECT_GE(importance.at("epoch"), before.at("epoch"));
      if (importance.at("epoch") == before.at("epoch")) {
        EXPECT_EQ(importance, before);
      }
    }
    if (GetParam().traits.measures && row.at("epoch").get<std::int64_t>() % 2 == 0) {
      EXPECT_EQ(importance.at("epoch"), row.at("epoch"));
    }
    const auto& values = importance.at("values");
    ASSERT_EQ(values.size(), row.at("op_weights").size());
    for (std::size_t m = 0; m < values.size(); ++m) {
      ASSERT_EQ(values[m].size(), row.at("op_weights")[m].size());
      for (const auto& value : values[m]) {
        EXPECT_TRUE(value.is_number() || importance.at("low_is_important").get<bool>()) << "only +inf is null";
      }
    }
    before = importance;
  }
  EXPECT_EQ(before.at("epoch"), all.back().at("epoch"));
}

INSTANTIATE_TEST_SUITE_P(Methods, Laws, ::testing::ValuesIn(law_cases()),
                         [](const auto& given) { return given.param.name; });

}  // namespace
}  // namespace flowdarts::testing
