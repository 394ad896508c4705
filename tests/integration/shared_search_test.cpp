// Searches that several processes share, as mpirun starts them.

#include <csignal>
#include <flowdarts/pipeline/run_directory/metrics.hpp>
#include <flowdarts/spaces/support/random.hpp>
#include <fstream>

#include "search_process.hpp"

namespace flowdarts::integration {
namespace {

using Clock = std::chrono::steady_clock;

class SharedSearches : public Searches {
 protected:
  /// The arguments of mpirun for so many processes of a program.
  [[nodiscard]] static Arguments processes(int count, const std::string& program, const Arguments& arguments) {
    Arguments all{"--allow-run-as-root",          "--oversubscribe", "--bind-to", "none", "-n", std::to_string(count),
                  FLOWDARTS_BIN_DIR "/" + program};
    all.insert(all.end(), arguments.begin(), arguments.end());
    return all;
  }
  [[nodiscard]] Outcome run_shared(int count, const std::string& program, const Arguments& arguments) const {
    return run(FLOWDARTS_MPIRUN, processes(count, program, arguments));
  }
  void finish_shared(int count, const std::string& program, const Arguments& arguments) const {
    const Outcome outcome = run_shared(count, program, arguments);
    ASSERT_EQ(outcome.code, 0) << outcome.err;
  }

  /// What the program complains of, in lines of its own among those of mpirun.
  [[nodiscard]] static std::vector<std::string> complaints_of(const std::string& program, const std::string& err) {
    std::vector<std::string> lines;
    std::istringstream text(err);
    for (std::string line; std::getline(text, line);) {
      if (line.starts_with(program + ": ")) lines.push_back(line);
    }
    return lines;
  }

  /// The processes that mpirun has started, by rank.
  [[nodiscard]] static std::vector<pid_t> ranks_of(pid_t mpirun) {
    std::vector<pid_t> ranks;
    for (const auto& task : fs::directory_iterator("/proc/" + std::to_string(mpirun) + "/task")) {
      std::ifstream children(task.path() / "children");
      for (pid_t child = 0; children >> child;) ranks.push_back(child);
    }
    std::ranges::sort(ranks);
    return ranks;
  }

  const Arguments pruning_{"--epochs",          "24",  "--prune-window", "6", "--prune-ratio-train", "0.05",
                           "--prune-ratio-val", "0.05"};
};

TEST_F(SharedSearches, TwoRunsAreTheSameBitForBit) {
  finish_shared(2, bdp_darts, tiny("one") + pruning_);
  finish_shared(2, bdp_darts, tiny("two") + pruning_);
  expect_same_run(folder_ / "two", folder_ / "one");
  expect_valid_genotype(folder_ / "one");
  const Json row = read_metrics(folder_ / "one/metrics.jsonl").back();
  EXPECT_EQ(row.at("exchanged").at("processes"), 2);
  EXPECT_GT(row["exchanged"]["bytes"].get<int>(), 0);
  EXPECT_LT(row["train"]["samples"].get<int>(), 30);
}

// One process and two see the same samples, and with the statistics of whole batches nearly the same losses.
TEST_F(SharedSearches, WithSharedStatisticsItIsTheSearchOfOneProcess) {
  const Arguments options{"--epochs", "1"};
  finish(darts, tiny("one") + options);
  finish_shared(3, darts, tiny("three") + options + Arguments{"--sync-bn"});
  const Json one = read_metrics(folder_ / "one/metrics.jsonl").back();
  const Json three = read_metrics(folder_ / "three/metrics.jsonl").back();
  for (const char* split : {"train", "val"}) {
    EXPECT_EQ(three[split]["samples"], one[split]["samples"]);
    EXPECT_NEAR(three[split]["loss"].get<double>(), one[split]["loss"].get<double>(), 1e-3);
  }
}

TEST_F(SharedSearches, HelpAndRefusalsAreSaidOnce) {
  const Outcome help = run_shared(2, darts, {"--version"});
  EXPECT_EQ(help.code, 0) << help.err;
  EXPECT_EQ(std::ranges::count(help.out, '\n'), 1) << help.out;

  const Outcome refused = run_shared(2, darts, tiny("run") + Arguments{"--epochs", "0"});
  EXPECT_EQ(refused.code, 2);
  const auto lines = complaints_of(darts, refused.err);
  ASSERT_EQ(lines.size(), 1U) << refused.err;
  EXPECT_THAT(lines[0], ::testing::HasSubstr("--epochs: found 0"));
  EXPECT_FALSE(fs::exists(folder_ / "run"));
}

TEST_F(SharedSearches, TrainingIsForOneProcess) {
  const Outcome refused = run("/usr/bin/env", {"OMPI_COMM_WORLD_SIZE=2", FLOWDARTS_BIN_DIR "/flowdarts-train", "--out",
                                               (folder_ / "run").string()});
  EXPECT_EQ(refused.code, 2);
  EXPECT_EQ(refused.err,
            "flowdarts-train: started as one of 2 processes, expected one: a stand-alone network trains in one "
            "process\n");
}

TEST_F(SharedSearches, AnotherNumberOfProcessesGoesOnAndSaysSo) {
  finish_shared(2, darts, tiny("run") + Arguments{"--epochs", "2"});
  fs::remove(checkpoints(folder_ / "run").back());
  const Outcome outcome = run(darts, tiny("run") + Arguments{"--epochs", "2", "--resume"});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.err, ::testing::HasSubstr("the checkpoint is of 2 process(es) and 1 go on from it"));
  EXPECT_EQ(read_metrics(folder_ / "run/metrics.jsonl").size(), 2U);
}

TEST_F(SharedSearches, ALossThatIsNoNumberEndsAllAndOneLineNamesTheRank) {
  const Outcome outcome =
      run_shared(2, darts, tiny("run") + Arguments{"--epochs", "4", "--w-lr", "1e30", "--w-clip", "0"});
  EXPECT_EQ(outcome.code, 1) << outcome.err;
  const auto lines = complaints_of(darts, outcome.err);
  ASSERT_EQ(lines.size(), 1U) << outcome.err;
  EXPECT_THAT(lines[0], ::testing::ContainsRegex("rank [01] \\(.*\\): .*the loss is (nan|infinite)"));
  EXPECT_THAT(read(folder_ / "run/log.txt"), ::testing::HasSubstr("the loss is"));
}

// SIGTERM to one of them: all stop at the same step.
TEST_F(SharedSearches, AsksAllToStopWhereOneIsAsked) {
  const Arguments options{"--epochs", "200"};
  Process process(FLOWDARTS_MPIRUN, processes(2, darts, tiny("run") + options), folder_.path());
  ASSERT_TRUE(process.wait_until([&] { return !checkpoints(folder_ / "run").empty(); })) << process.wait().err;
  const std::vector<pid_t> ranks = ranks_of(process.pid());
  ASSERT_EQ(ranks.size(), 2U);
  ::kill(ranks[1], SIGTERM);
  const Outcome outcome = process.wait();
  EXPECT_EQ(outcome.code, 128 + SIGTERM) << outcome.err;
  EXPECT_THAT(complaints_of(darts, outcome.err), ::testing::IsEmpty()) << outcome.err;
  EXPECT_THAT(read(folder_ / "run/log.txt"), ::testing::HasSubstr("--resume continues there"));
}

// kill -9 of one rank at any moment: the others end soon, one line says who is gone, what is on disk is whole, and the
// search that goes on ends as the one that was never killed.
TEST_F(SharedSearches, EndTogetherWhereOneIsKilledAndGoOn) {
  const Arguments options = pruning_ + Arguments{"--epochs", "48"};
  finish_shared(2, bdp_darts, tiny("unbroken") + options);
  const fs::path broken = folder_ / "broken";
  CounterRng rng(21, Stream::noise);
  for (int kill = 0; kill < 5; ++kill) {
    SCOPED_TRACE("kill " + std::to_string(kill));
    Arguments arguments = tiny("broken") + options;
    if (fs::exists(broken / "config.toml")) arguments.push_back("--resume");
    Process process(FLOWDARTS_MPIRUN, processes(2, bdp_darts, arguments), folder_.path());
    const auto before = checkpoints(broken);
    ASSERT_TRUE(process.wait_until([&] { return checkpoints(broken) != before; })) << process.wait().err;
    const auto moment = Clock::now() + std::chrono::duration<double>(rng.uniform(0, 0.2));
    ASSERT_TRUE(process.wait_until([&] { return Clock::now() >= moment; })) << process.wait().err;
    const std::vector<pid_t> ranks = ranks_of(process.pid());
    ASSERT_EQ(ranks.size(), 2U);
    const int culprit = kill % 2;
    ::kill(ranks[static_cast<std::size_t>(culprit)], SIGKILL);
    const auto killed = Clock::now();
    const Outcome outcome = process.wait();
    EXPECT_NE(outcome.code, 0);
    EXPECT_LT(Clock::now() - killed, std::chrono::seconds(10));
    // A launcher that sees the death first says so itself.
    const auto lines = complaints_of(bdp_darts, outcome.err);
    EXPECT_LE(lines.size(), 1U) << outcome.err;
    for (const std::string& line : lines) {
      EXPECT_THAT(line, ::testing::ContainsRegex("rank " + std::to_string(culprit) + " .*is gone"));
    }
    EXPECT_THAT(outcome.err, ::testing::AnyOf(::testing::HasSubstr("is gone"), ::testing::HasSubstr("signal 9")));
    ASSERT_FALSE(checkpoints(broken).empty());
    for (const fs::path& file : checkpoints(broken)) EXPECT_NO_THROW(read_checkpoint(file));
  }
  finish_shared(2, bdp_darts, tiny("broken") + options + Arguments{"--resume"});
  expect_same_run(broken, folder_ / "unbroken");
}

}  // namespace
}  // namespace flowdarts::integration
