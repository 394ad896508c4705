// SIGINT and SIGTERM.

#include "search_process.hpp"

namespace flowdarts::integration {
namespace {

struct Interrupted {
  const char* name;
  const std::string* program;
  int signal;
  Arguments options;
};

void PrintTo(const Interrupted& search, std::ostream* out) {
  *out << search.name;
}

class Signals : public Searches, public ::testing::WithParamInterface<Interrupted> {};

// Two images a step: 15 steps an epoch, so that a signal sent at an epoch's beginning ends it in its midst.
TEST_P(Signals, EndTheStepAndResumeBitForBit) {
  const auto& [name, program, number, more] = GetParam();
  const Arguments options = Arguments{"--batch-size", "2", "--epochs", "3"} + more;
  finish(*program, tiny("unbroken") + options);

  const fs::path run = folder_ / "run";
  Process process(*program, tiny("run") + options, folder_.path());
  ASSERT_TRUE(process.wait_until([&] { return !checkpoints(run).empty(); }));
  process.signal(number);
  const Outcome outcome = process.wait();
  EXPECT_EQ(outcome.code, 128 + number);
  EXPECT_EQ(outcome.out, "");
  const std::string said = number == SIGINT ? "SIGINT" : "SIGTERM";
  EXPECT_THAT(outcome.complaints(),
              ::testing::ElementsAre(said + ": stopping after this step; a second signal stops at once"));
  EXPECT_THAT(outcome.err,
              ::testing::ContainsRegex("interrupted in epoch [23] after step [0-9]+; --resume continues there"));
  EXPECT_THAT(checkpoints(run).back().filename().string(), ::testing::Not(::testing::HasSubstr("step-0000000000")))
      << "the search stopped between epochs";
  EXPECT_LT(checkpoints(run).back().filename(), checkpoints(folder_ / "unbroken").back().filename());

  finish(*program, tiny("run") + options + Arguments{"--resume"});
  expect_same_run(run, folder_ / "unbroken");
}

INSTANTIATE_TEST_SUITE_P(AllMethods, Signals,
                         ::testing::Values(Interrupted{"Darts", &darts, SIGINT, {}},
                                           Interrupted{"BdpDarts", &bdp_darts, SIGTERM, {"--prune-window", "2"}},
                                           Interrupted{"DartsSecondOrder", &second_order, SIGTERM, {}},
                                           Interrupted{"El2nSecondOrder",
                                                       &el2n,
                                                       SIGINT,
                                                       {"--prune-runs", "1", "--prune-score-epochs", "1",
                                                        "--prune-ratio-train", "0.1"}}),
                         [](const auto& instance) { return std::string(instance.param.name); });

// An epoch is one step, which takes longer than two signals: the second one is under way when the first one's
// checkpoint appears.
TEST_F(Searches, ASecondSignalEndsThemAtOnce) {
  Process process(darts, tiny("run") + Arguments{"--channels", "16", "--cells", "3", "--batch-size", "30"},
                  folder_.path());
  ASSERT_TRUE(process.wait_until([&] { return !checkpoints(folder_ / "run").empty(); }));
  process.signal(SIGTERM);
  ASSERT_TRUE(process.wait_until([&] { return process.err().find("SIGTERM") != std::string::npos; }));
  process.signal(SIGINT);
  EXPECT_EQ(process.wait().code, 128 + SIGINT);
  EXPECT_EQ(checkpoints(folder_ / "run").size(), 1U) << "the step was finished first";
}

}  // namespace
}  // namespace flowdarts::integration
