// --resume: what it goes on from, and what it refuses.

#include "search_process.hpp"

namespace flowdarts::integration {
namespace {

void flip_a_byte(const fs::path& file) {
  std::string bytes = read(file);
  bytes[bytes.size() / 2] ^= 1;
  write(file, bytes);
}

class Resume : public Searches {
 protected:
  fs::path run_ = folder_ / "run";

  /// Refused with exit code 2 and all of `texts`, and nothing in the run directory has changed.
  void expect_refused_unchanged(const std::string& program, const Arguments& arguments,
                                const std::vector<std::string>& texts) {
    const auto before = contents(run_);
    expect_refused(program, arguments, texts);
    EXPECT_EQ(contents(run_), before);
  }
};

TEST_F(Resume, RefusesAnotherSearch) {
  const Arguments options{"--epochs", "2", "--prune-window", "2", "--seed", "7"};
  finish(bdp_darts, tiny("run") + options);
  const Arguments resume{"--resume", "--out", run_.string()};
  const std::string file = checkpoints(run_).back().string();

  expect_refused_unchanged(bdp_darts, resume + Arguments{"--seed", "8"}, {file, "--seed", "'7'", "'8'"});
  expect_refused_unchanged(bdp_darts, resume + Arguments{"--channels", "2"}, {file, "--channels", "'1'", "'2'"});
  expect_refused_unchanged(bdp_darts, resume + Arguments{"--prune-ratio-val", "0.25"},
                           {file, "--prune-ratio-val", "'0.15'", "'0.25'"});
  expect_refused_unchanged(darts, resume, {"config.toml:2", "method", "\"bdp-darts\"", "'darts'"});
  // Without its configuration the checkpoint itself says whose it is.
  const std::string config = read(run_ / "config.toml");
  fs::remove(run_ / "config.toml");
  expect_refused_unchanged(darts, tiny("run") + Arguments{"--epochs", "2", "--seed", "7", "--resume"},
                           {file, "prune policy", "'BilevelDataPruning'", "'None'"});
  write(run_ / "config.toml", config);

  const fs::path other = folder_ / "other";
  write_cifar10(other, 60);
  flip_a_byte(other / "data_batch_3.bin");
  expect_refused_unchanged(bdp_darts, resume + Arguments{"--data", other.string()},
                           {file, "data set is '", "', expected '"});
  // The same images elsewhere are the same data set.
  write_cifar10(other, 60);
  finish(bdp_darts, resume + Arguments{"--data", other.string()});
}

TEST_F(Resume, RefusesWhatIsNoRun) {
  expect_refused(darts, tiny("nowhere") + Arguments{"--resume"},
                 {(folder_ / "nowhere").string(), "found no directory"});
  EXPECT_FALSE(fs::exists(folder_ / "nowhere"));
  fs::create_directory(folder_ / "empty");
  expect_refused(darts, tiny("empty") + Arguments{"--resume"}, {(folder_ / "empty").string(), "holds no run"});
  EXPECT_TRUE(fs::is_empty(folder_ / "empty"));
}

TEST_F(Resume, OfAFinishedSearchSaysItsEndAgain) {
  finish(darts, tiny("run") + Arguments{"--epochs", "1"});
  const std::string last = read(checkpoints(run_).back());
  const std::string metrics = read(run_ / "metrics.jsonl");
  const Outcome again = Searches::run(darts, {"--resume", "--out", run_.string()});
  EXPECT_EQ(again.code, 0) << again.err;
  EXPECT_THAT(again.out, ::testing::HasSubstr(expect_valid_genotype(run_)));
  EXPECT_EQ(read(checkpoints(run_).back()), last);
  EXPECT_EQ(read(run_ / "metrics.jsonl"), metrics);
}

TEST_F(Resume, IsAskedForExplicitly) {
  finish(darts, tiny("run") + Arguments{"--epochs", "1"});
  expect_refused_unchanged(darts, tiny("run") + Arguments{"--epochs", "1"},
                           {run_.string(), "already holds a run", "--resume"});
}

TEST_F(Resume, NamesADamagedCheckpointAndUsesTheOneBefore) {
  const Arguments options{"--epochs", "4", "--prune-window", "2"};
  finish(bdp_darts, tiny("unbroken") + options);
  finish(bdp_darts, tiny("run") + options);
  ASSERT_EQ(checkpoints(run_).size(), 2U);
  const fs::path before = checkpoints(run_).front(), newest = checkpoints(run_).back();
  flip_a_byte(newest);
  const Outcome outcome = Searches::run(bdp_darts, {"--resume", "--out", run_.string()});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.err,
              ::testing::ContainsRegex("warn.*" + newest.filename().string() + ".*using the one before it"));
  EXPECT_THAT(outcome.err, ::testing::ContainsRegex("continuing after epoch 3.*" + before.filename().string()));
  EXPECT_THAT(read(run_ / "log.txt"), ::testing::HasSubstr("using the one before it"));
  expect_same_run(run_, folder_ / "unbroken");
}

TEST_F(Resume, RefusesWhereEveryCheckpointIsDamaged) {
  finish(darts, tiny("run") + Arguments{"--epochs", "2"});
  for (const fs::path& file : checkpoints(run_)) write(file, read(file).substr(0, 1000));
  expect_refused_unchanged(darts, {"--resume", "--out", run_.string()}, {checkpoints(run_).back().string()});
}

TEST_F(Resume, NeverSharesADirectory) {
  Process first(darts, tiny("run") + Arguments{"--epochs", "1000"}, folder_.path());
  ASSERT_TRUE(first.wait_until([&] { return !checkpoints(run_).empty(); }));
  expect_refused(darts, {"--resume", "--out", run_.string()}, {run_.string(), "is in use by pid "});
  expect_refused(darts, tiny("run") + Arguments{"--epochs", "1000"}, {run_.string(), "is in use by pid "});
  ASSERT_TRUE(first.running());
  first.signal(SIGKILL);
  first.wait();

  Process next(darts, {"--resume", "--out", run_.string()}, folder_.path());
  EXPECT_TRUE(next.wait_until([&] { return next.err().find("continuing after epoch") != std::string::npos; }));
  EXPECT_THAT(next.err(), ::testing::ContainsRegex("pid [0-9]+ on .* ended without releasing it"));
}

}  // namespace
}  // namespace flowdarts::integration
