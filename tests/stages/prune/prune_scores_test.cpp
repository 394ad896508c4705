// The example program prune_scores, run as its users run it.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <flowdarts/spaces/support/random.hpp>
#include <fstream>
#include <map>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

namespace flowdarts {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

struct Outcome {
  int exit_code = -1;
  std::string out;
  std::string err;
};

class PruneScores : public testing::Test {
 protected:
  PruneScores() {
    std::string name = (std::filesystem::temp_directory_path() / "prune_scores_XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("no temporary folder");
    folder_ = name;
  }
  ~PruneScores() override { std::filesystem::remove_all(folder_); }

  /// Runs the program in a folder where scores.csv holds `csv`.
  Outcome run(const std::string& arguments, const std::string& csv) const {
    write(csv);
    const std::string command =
        "cd '" + folder_.string() + "' && '" FLOWDARTS_BIN_DIR "/prune_scores' " + arguments + " >out.txt 2>err.txt";
    const int status = std::system(command.c_str());
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, read("out.txt"), read("err.txt")};
  }

  /// The one line on stderr with which it refuses `csv`; nothing may be on stdout.
  std::string refusal(const std::string& csv) const {
    const Outcome outcome = run("--remove low --ratio 0.5 --events 20 --classes 3 scores.csv", csv);
    EXPECT_EQ(outcome.exit_code, 2);
    EXPECT_THAT(outcome.out, IsEmpty());
    EXPECT_EQ(std::ranges::count(outcome.err, '\n'), 1) << outcome.err;
    return outcome.err;
  }

 private:
  void write(const std::string& text) const { std::ofstream(folder_ / "scores.csv", std::ios::binary) << text; }
  std::string read(const char* name) const {
    std::ostringstream text;
    text << std::ifstream(folder_ / name).rdbuf();
    return text.str();
  }

  std::filesystem::path folder_;
};

struct Row {
  std::int64_t id = 0;
  std::size_t label = 0;
  std::vector<std::optional<float>> errors;
};

std::string csv_of(const std::vector<Row>& rows) {
  std::ostringstream csv;
  csv.precision(9);
  for (const Row& row : rows) {
    csv << row.id << ',' << row.label;
    for (const auto error : row.errors) {
      csv << ',';
      if (error) csv << *error;
    }
    csv << '\n';
  }
  return csv.str();
}

struct Settings {
  bool low = true;
  int percent = 15;
  int events = 20;
  std::size_t classes = 10;
  bool balance = true;
  bool refill = true;
};

std::string arguments_of(const Settings& settings) {
  return std::string("--remove ") + (settings.low ? "low" : "high") + " --ratio " +
         std::to_string(settings.percent / 100.0) + " --events " + std::to_string(settings.events) + " --classes " +
         std::to_string(settings.classes) + (settings.balance ? "" : " --no-balance") +
         (settings.refill ? "" : " --no-refill");
}

/// A2 step 3, written anew with none of flowdarts: the ids that stay.
std::set<std::int64_t> naive_kept(const std::vector<Row>& rows, const Settings& settings) {
  std::vector<double> counts(settings.classes);
  for (const Row& row : rows) counts[row.label] += 1;
  double ratios = 0, pairs = 0;
  for (std::size_t i = 0; i < counts.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      const double large = std::max(counts[i], counts[j]);
      ratios += large == 0 ? 1 : std::min(counts[i], counts[j]) / large;
      pairs += 1;
    }
  }
  const double b = pairs == 0 ? 1 : ratios / pairs;
  const double divisor = settings.events * (1 - b * b) + 1;

  std::set<std::int64_t> kept;
  std::vector<std::pair<double, const Row*>> ranking;
  for (const Row& row : rows) {
    kept.insert(row.id);
    double sum = 0, squares = 0, seen = 0;
    for (const auto error : row.errors) {
      if (error) sum += *error, seen += 1;
    }
    for (const auto error : row.errors) {
      if (error) squares += (*error - sum / seen) * (*error - sum / seen);
    }
    if (seen >= 2) ranking.emplace_back((settings.low ? 1 : -1) * squares / seen, &row);
  }
  std::ranges::sort(ranking, {}, [](const auto& entry) { return std::pair(entry.first, entry.second->id); });

  const std::size_t k = rows.size() * static_cast<std::size_t>(settings.percent) / 100;
  std::vector<double> taken(settings.classes);
  std::size_t removed = 0, walked = 0;
  for (const auto& [score, row] : ranking) {
    if (removed == k || (!settings.refill && walked == k)) break;
    ++walked;
    const double cap = settings.balance ? std::floor(counts[row->label] / divisor + 1e-9) : counts[row->label];
    if (taken[row->label] == cap) continue;
    taken[row->label] += 1;
    ++removed;
    kept.erase(row->id);
  }
  return kept;
}

std::string lines_of(const std::set<std::int64_t>& ids) {
  std::string lines;
  for (const std::int64_t id : ids) lines += std::to_string(id) + '\n';
  return lines;
}

TEST_F(PruneScores, KeepsWhatTheNaiveReferenceKeeps) {
  for (std::uint64_t round = 0; round < 40; ++round) {
    CounterRng rng(23, Stream::noise, 0, 0, round);
    const Settings settings{.low = rng.below(2) == 0,
                            .percent = static_cast<int>(rng.below(60)),
                            .events = 1 + static_cast<int>(rng.below(25)),
                            .classes = 1 + rng.below(12),
                            .balance = rng.below(4) > 0,
                            .refill = rng.below(2) == 0};
    const std::size_t epochs = 1 + rng.below(6);
    // Errors are multiples of 1/8, so that the variances of one number of epochs are exact and tie often, or any
    // float32.
    const bool coarse = rng.below(3) == 0;
    std::vector<Row> rows(1 + rng.below(400));
    for (std::size_t i = 0; i < rows.size(); ++i) {
      rows[i].id = static_cast<std::int64_t>(i * i) - 50;
      rows[i].label = rng.below(1 + rng.below(settings.classes));
      for (std::size_t epoch = 0; epoch < epochs; ++epoch) {
        const float error = coarse ? static_cast<float>(rng.below(9)) / 8 : static_cast<float>(rng.uniform(0, 1.4142));
        const bool observed = coarse ? epoch < 2 || epoch == 3 : rng.below(6) > 0;
        rows[i].errors.push_back(observed ? std::optional(error) : std::nullopt);
      }
      if (coarse && epochs > 3) rows[i].errors[3].reset();
    }
    CounterRng(24, Stream::noise, 0, 0, round).shuffle(std::span(rows));
    const std::string expected = lines_of(naive_kept(rows, settings));
    for (const std::string sort : {"", " --sort serial", " --sort thrust"}) {
      const Outcome outcome = run(arguments_of(settings) + sort + " scores.csv", csv_of(rows));
      ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
      ASSERT_EQ(outcome.out, expected) << "round " << round << ": " << arguments_of(settings) << sort;
    }
  }
}

TEST_F(PruneScores, PrintsKeptIdsAndWhatWasRemovedOfEachClass) {
  const std::string csv = "id,label,e_1,e_2\r\n70,0,0.5,0.6\r\n3,1,0.1,0.9\r\n100,1,0.2,0.2\r\n-4,0,,1.414214\r\n";
  const Outcome outcome = run("--remove low --ratio 0.5 --events 20 --classes 2 scores.csv", csv);
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_EQ(outcome.out, "-4\n3\n");
  EXPECT_EQ(outcome.err,
            "removed 2 of 4 samples (at most 2), class balance b = 1, N = 1\n"
            "class 0: removed 1 of 2 (at most 2)\n"
            "class 1: removed 1 of 2 (at most 2)\n");
  EXPECT_EQ(run("--remove low --ratio 0.5 --events 20 --classes 2 - <scores.csv", csv).out, outcome.out);
}

TEST_F(PruneScores, RefusesMalformedRowsNamingTheLine) {
  EXPECT_EQ(
      refusal("id,label,e_1,e_2\n1,0,0.1,0.2\n2,0,zero,0.2\n"),
      "prune_scores: scores.csv:3: error e_1: found 'zero', expected a number in [0, sqrt 2] or an empty field\n");
  const std::map<std::string, std::string> cases{
      {"", "scores.csv: found no rows"},
      {"id,label,e_1\n", "scores.csv: found no rows"},
      {"\n", "scores.csv:1: row: found ''"},
      {"1,0\n", "scores.csv:1: row: found '1,0', expected id,label,e_1"},
      {"ID,label,e_1\n1,0,0.5\n", "scores.csv:1: id: found 'ID', expected an integer"},
      {"1,0,0.5\nid,label,e_1\n", "scores.csv:2: id: found 'id', expected an integer"},
      {"1,0,0.5\n\n2,0,0.5\n", "scores.csv:2: row: found 1 fields, expected 3"},
      {"1,0,0.5\n2,0,0.5,0.5\n", "scores.csv:2: row: found 4 fields, expected 3"},
      {"1,0,0.5\n2,0\n", "scores.csv:2: row: found 2 fields, expected 3"},
      {"1,0,0.5\n1.5,0,0.5\n", "scores.csv:2: id: found '1.5', expected an integer"},
      {"99999999999999999999,0,0.5\n", "scores.csv:1: id: found '99999999999999999999', expected an integer"},
      {",0,0.5\n", "scores.csv:1: id: found ''"},
      {"1,3,0.5\n", "scores.csv:1: label: found '3', expected an integer from 0 to 2"},
      {"1,-1,0.5\n", "scores.csv:1: label: found '-1'"},
      {"1,,0.5\n", "scores.csv:1: label: found ''"},
      {"1,0,nan\n", "scores.csv:1: error e_1: found 'nan'"},
      {"1,0,inf\n", "scores.csv:1: error e_1: found 'inf'"},
      {"1,0,0.5,-0.1\n", "scores.csv:1: error e_2: found '-0.1'"},
      {"1,0,1.41422\n", "scores.csv:1: error e_1: found '1.41422'"},
      {"1,0," + std::string(100, '9') + "\n", "found '" + std::string(60, '9') + "...', expected"},
      {"1,0,1e300\n", "scores.csv:1: error e_1: found '1e300'"},
      {"1,0, 0.5\n", "scores.csv:1: error e_1: found ' 0.5'"},
      {"1,0,0.5x\n", "scores.csv:1: error e_1: found '0.5x'"},
      {"1,0,0.5\n9,0,0.5\n1,1,0.5\n", "scores.csv:3: id: found 1 again, first in line 1, expected every id once"},
      {std::string("1,0,0.\0005\n", 9), "scores.csv:1: error e_1: found '0.?"},
  };
  for (const auto& [csv, message] : cases) {
    EXPECT_THAT(refusal(csv), AllOf(StartsWith("prune_scores: "), HasSubstr(message))) << csv;
  }
}

TEST_F(PruneScores, RefusesBadOptions) {
  const std::string good = "1,0,0.5,0.6\n";
  const std::map<std::string, std::string> cases{
      {"--ratio 0.5 --events 20 --classes 3 scores.csv", "--remove is required"},
      {"--remove middle --ratio 0.5 --events 20 --classes 3 scores.csv", "middle not in {low,high}"},
      {"--remove low --ratio half --events 20 --classes 3 scores.csv", "half"},
      {"--remove low --ratio 1 --events 20 --classes 3 scores.csv", "found 1.000000, expected a number in [0, 1)"},
      {"--remove low --ratio -0.1 --events 20 --classes 3 scores.csv", "-0.1"},
      {"--remove low --ratio 0.5 --events 0 --classes 3 scores.csv", "--events"},
      {"--remove low --ratio 0.5 --events 20 --classes 0 scores.csv", "--classes"},
      {"--remove low --ratio 0.5 --events 20 --classes 3 --sort cuda scores.csv", "cuda not in {serial,thrust}"},
      {"--remove low --ratio 0.5 --events 20 --classes 3 --balance scores.csv", "--balance"},
      {"--remove low --ratio 0.5 --events 20 --classes 3 missing.csv", "missing.csv: cannot be opened"},
      {"--remove low --ratio 0.5 --events 20 --classes 3 .", "cannot be read"},
  };
  for (const auto& [arguments, message] : cases) {
    const Outcome outcome = run(arguments, good);
    EXPECT_EQ(outcome.exit_code, 2) << arguments;
    EXPECT_THAT(outcome.out, IsEmpty()) << arguments;
    EXPECT_THAT(outcome.err, AllOf(StartsWith("prune_scores: "), HasSubstr(message))) << arguments;
    EXPECT_EQ(std::ranges::count(outcome.err, '\n'), 1) << outcome.err;
  }
}

TEST_F(PruneScores, HelpNamesEveryOption) {
  const Outcome outcome = run("--help", "");
  EXPECT_EQ(outcome.exit_code, 0);
  for (const char* option : {"--remove", "--ratio", "--events", "--classes", "--no-balance", "--no-refill", "--sort"}) {
    EXPECT_THAT(outcome.out, HasSubstr(option));
  }
}

}  // namespace
}  // namespace flowdarts
