// kill -9 at any moment: what is on disk is whole, and the search that goes on ends as the one that was never killed.

#include <flowdarts/pipeline/run_directory/metrics.hpp>
#include <flowdarts/spaces/support/random.hpp>

#include "search_process.hpp"

namespace flowdarts::integration {
namespace {

using Clock = std::chrono::steady_clock;

class Killed : public Searches {
 protected:
  /// Kills a search `kills` times, goes on with it each time, and expects it to end as `unbroken`.
  void kill_and_resume(const std::string& program, const Arguments& options, int kills) {
    const fs::path unbroken = folder_ / "unbroken", broken = folder_ / "broken";
    finish(program, tiny("unbroken") + options);

    CounterRng rng(20, Stream::noise);
    int while_writing = 0;
    for (int kill = 0; kill < kills; ++kill) {
      Arguments arguments = tiny("broken") + options;
      // Nothing that stands in the way of a new start is left where the search was killed before its configuration.
      if (fs::exists(broken / "config.toml")) arguments.push_back("--resume");
      Process process(program, arguments, folder_.path());
      const std::size_t rows = row_count(broken);
      const std::vector<fs::path> before = checkpoints(broken);
      const auto pause = [&](double seconds) {
        const auto end = Clock::now() + std::chrono::duration<double>(rng.uniform(0, seconds));
        return process.wait_until([&] { return Clock::now() >= end; });
      };
      bool alive = true;
      switch (kill % 4) {
        case 0:  // while it starts
          alive = pause(0.4);
          break;
        case 1:  // while a file is written
          alive = process.wait_until(
              [&] { return has_temporary_file(broken) || has_temporary_file(broken / "checkpoints"); });
          break;
        case 2:  // between a row, its checkpoint and the removal of an older one
          alive = process.wait_until([&] { return row_count(broken) > rows; }) && pause(0.005);
          break;
        default:  // anywhere in an epoch
          alive = process.wait_until([&] { return checkpoints(broken) != before; }) && pause(0.2);
      }
      ASSERT_TRUE(alive) << "the search ended before kill " << kill << ": " << process.wait().err;
      process.signal(SIGKILL);
      ASSERT_EQ(process.wait().code, 1000 + SIGKILL);
      while_writing += has_temporary_file(broken / "checkpoints");
      expect_whole(broken, !before.empty());
    }
    RecordProperty("killed_while_writing_a_checkpoint", while_writing);

    finish(program, tiny("broken") + options + Arguments{"--resume"});
    EXPECT_FALSE(has_temporary_file(broken) || has_temporary_file(broken / "checkpoints"));
    expect_same_run(broken, unbroken);
  }

 private:
  static bool has_temporary_file(const fs::path& folder) {
    std::error_code missing;
    for (const auto& entry : fs::directory_iterator(folder, missing)) {
      if (entry.path().extension() == ".tmp") return true;
    }
    return false;
  }

  static std::size_t row_count(const fs::path& run) {
    const std::string text = read(run / "metrics.jsonl");
    return static_cast<std::size_t>(std::ranges::count(text, '\n'));
  }

  /// Checkpoints are complete, at least one once there was one; rows are whole but for the last; other files are whole.
  static void expect_whole(const fs::path& run, bool had_checkpoint) {
    const std::vector<fs::path> files = checkpoints(run);
    EXPECT_TRUE(!had_checkpoint || !files.empty());
    for (const fs::path& file : files) EXPECT_NO_THROW(read_checkpoint(file));
    if (fs::exists(run / "metrics.jsonl")) {
      EXPECT_NO_THROW(read_metrics(run / "metrics.jsonl"));
    }
    if (fs::exists(run / "genotype.json")) {
      EXPECT_NO_THROW(Json::parse(read(run / "genotype.json")));
    }
  }
};

TEST_F(Killed, BdpDartsEndsAsUnbroken) {
  kill_and_resume(bdp_darts,
                  {"--epochs", "44", "--prune-window", "4", "--prune-ratio-train", "0.05", "--prune-ratio-val", "0.05"},
                  24);
}

TEST_F(Killed, ASearchThatCutsItsDataFirstEndsAsUnbroken) {
  kill_and_resume(el2n, {"--epochs", "10", "--prune-runs", "1", "--prune-score-epochs", "1"}, 6);
}

}  // namespace
}  // namespace flowdarts::integration
