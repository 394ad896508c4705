// The same search again, with other loader threads, from its own configuration, measured or not: the same bits.

#include "search_process.hpp"

namespace flowdarts::integration {
namespace {

struct Repeated {
  const char* name;
  const std::string* program;
  Arguments options;
};

void PrintTo(const Repeated& search, std::ostream* out) {
  *out << search.name;
}

class LoaderThreads : public Searches, public ::testing::WithParamInterface<Repeated> {};

TEST_P(LoaderThreads, DoNotChangeTheResult) {
  const Arguments options = Arguments{"--epochs", "3"} + GetParam().options;
  finish(*GetParam().program, tiny("one") + options + Arguments{"--loader-threads", "1", "--prefetch", "2"});
  expect_valid_genotype(folder_ / "one");
  finish(*GetParam().program, tiny("two") + options + Arguments{"--loader-threads", "2", "--prefetch", "3"});
  expect_same_run(folder_ / "two", folder_ / "one");
  finish(*GetParam().program, tiny("four") + options + Arguments{"--loader-threads", "4", "--prefetch", "16"});
  expect_same_run(folder_ / "four", folder_ / "one");
}

INSTANTIATE_TEST_SUITE_P(
    AllMethods, LoaderThreads,
    ::testing::Values(Repeated{"Darts", &darts, {}}, Repeated{"BdpDarts", &bdp_darts, {"--prune-window", "2"}},
                      Repeated{"DartsSecondOrder", &second_order, {}},
                      Repeated{"El2nSecondOrder", &el2n, {"--prune-runs", "2", "--prune-score-epochs", "1"}}),
    [](const auto& instance) { return std::string(instance.param.name); });

// Whole and last batches, before and after pruning: graphs of several shapes.
TEST_F(Searches, RepeatOnAGpuWhereTheyAreDeterministic) {
  for (const char* precision : {"fp32", "bf16"}) {
    const Arguments options{"--device",   "cuda", "--deterministic", "--precision", precision,        "--epochs", "4",
                            "--channels", "4",    "--batch-size",    "8",           "--prune-window", "2"};
    const std::string one = std::string("one-") + precision, two = std::string("two-") + precision;
    const Outcome first = run(bdp_darts, tiny(one) + options);
    if (first.code == 2 && first.err.find("no CUDA device") != std::string::npos) {
      GTEST_SKIP() << "no GPU in this machine, or a build without CUDA";
    }
    ASSERT_EQ(first.code, 0) << first.err;
    expect_valid_genotype(folder_ / one);
    finish(bdp_darts, tiny(two) + options + Arguments{"--loader-threads", "4", "--prefetch", "16"});
    expect_same_run(folder_ / two, folder_ / one);
  }
}

TEST_F(Searches, AnotherSeedGivesAnotherSearch) {
  const Arguments options{"--epochs", "1"};
  finish(darts, tiny("one") + options);
  finish(darts, tiny("two") + options + Arguments{"--seed", "1"});
  EXPECT_NE(section(read_checkpoint(checkpoints(folder_ / "one").back()), "weights"),
            section(read_checkpoint(checkpoints(folder_ / "two").back()), "weights"));
}

TEST_F(Searches, ARecordedConfigurationReproducesTheRun) {
  finish(bdp_darts, tiny("one") + Arguments{"--epochs", "4", "--prune-window", "2", "--seed", "5", "--cutout", "4",
                                            "--w-lr", "0.01", "--no-prune-balance"});
  finish(bdp_darts, {"--config", (folder_ / "one/config.toml").string(), "--out", (folder_ / "two").string()});
  expect_same_run(folder_ / "two", folder_ / "one");
}

TEST_F(Searches, MeasuringTheHessianChangesNothingElse) {
  const Arguments options{"--epochs", "3", "--prune-window", "2"};
  finish(bdp_darts, tiny("unmeasured") + options);
  finish(bdp_darts, tiny("measured") + options + Arguments{"--hessian-every", "1"});
  const Checkpoint measured = read_checkpoint(checkpoints(folder_ / "measured").back());
  const Checkpoint unmeasured = read_checkpoint(checkpoints(folder_ / "unmeasured").back());
  for (const char* name : {"position", "samples train", "samples val", "weights", "statistics", "momentum", "alpha",
                           "alpha first moment", "alpha second moment", "alpha steps", "derived"}) {
    EXPECT_TRUE(section(measured, name) == section(unmeasured, name)) << name;
  }
  std::vector<Json> rows = timeless_metrics(folder_ / "measured");
  for (Json& row : rows) {
    ASSERT_TRUE(row.at("hessian").at("largest").is_number()) << row;
    ASSERT_TRUE(row.at("hessian").at("dominant").is_number()) << row;
    const double largest = row["hessian"]["largest"], dominant = row["hessian"]["dominant"];
    EXPECT_LE(largest, std::abs(dominant));
    EXPECT_NE(dominant, 0);
    row["hessian"] = nullptr;
  }
  EXPECT_EQ(rows, timeless_metrics(folder_ / "unmeasured"));
}

}  // namespace
}  // namespace flowdarts::integration
