// What goes wrong while a search runs: exit code 1, one line, and nothing broken left under a final name.

#include <flowdarts/pipeline/run_directory/metrics.hpp>

#include "search_process.hpp"

namespace flowdarts::integration {
namespace {

class Failures : public Searches {
 protected:
  fs::path run_ = folder_ / "run";

  std::string expect_failed(const Outcome& outcome) {
    EXPECT_EQ(outcome.code, 1) << outcome.err;
    EXPECT_EQ(outcome.out, "");
    EXPECT_EQ(outcome.complaints().size(), 1U) << outcome.err;
    return outcome.complaints().empty() ? "" : outcome.complaints().front();
  }
};

TEST_F(Failures, ALossThatIsNotFiniteStopsWithinAStep) {
  const Outcome outcome = Searches::run(darts, tiny("run") + Arguments{"--epochs", "2", "--w-lr", "1e30"});
  EXPECT_THAT(expect_failed(outcome),
              ::testing::ContainsRegex("the last update of epoch 1 overflowed; first tensor that is not finite: weight "
                                       ".*; last good checkpoint: none"));
  EXPECT_TRUE(checkpoints(run_).empty());
  EXPECT_FALSE(fs::exists(run_ / "genotype.json"));
}

TEST_F(Failures, AFullDiskStopsTheSearchWithNothingTruncated) {
  finish(darts, tiny("whole") + Arguments{"--epochs", "2"});
  const auto size = [&](const char* name) { return fs::file_size(folder_ / "whole" / name); };
  const std::uint64_t checkpoint = fs::file_size(checkpoints(folder_ / "whole").back());
  // Below the configuration, below the rows, below a checkpoint.
  for (const std::uint64_t limit :
       {std::uint64_t{size("config.toml") / 2}, std::uint64_t{size("metrics.jsonl") * 3 / 4}, checkpoint / 2}) {
    SCOPED_TRACE(limit);
    fs::remove_all(run_);
    const Outcome outcome = Searches::run(darts, tiny("run") + Arguments{"--epochs", "2"}, limit);
    EXPECT_THAT(expect_failed(outcome),
                ::testing::ContainsRegex("cannot write " + run_.string() + "/.*File too large"));
    for (const fs::path& file : checkpoints(run_)) EXPECT_NO_THROW(read_checkpoint(file));
    for (const auto& [name, bytes] : contents(run_)) {
      EXPECT_THAT(name, ::testing::Not(::testing::EndsWith(".tmp")));
      if (name == "config.toml" || name == "genotype.json" || name == "genotype.dot") {
        EXPECT_EQ(bytes.size(), read(folder_ / "whole" / name).size() - (name == "config.toml" ? 2 : 0));
      }
      if (name == "metrics.jsonl") {
        EXPECT_NO_THROW(read_metrics(run_ / name));
      }
    }
    // With room again the search goes on where there is one.
    if (fs::exists(run_ / "config.toml")) {
      finish(darts, tiny("run") + Arguments{"--epochs", "2", "--resume"});
      expect_same_run(run_, folder_ / "whole");
    }
  }
}

}  // namespace
}  // namespace flowdarts::integration
