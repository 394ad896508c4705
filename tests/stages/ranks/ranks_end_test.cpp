#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <array>
#include <cstdio>
#include <regex>
#include <string>

namespace {

using testing::HasSubstr;

struct Outcome {
  std::string output;
  int exit_code = 0;
};

Outcome run(int ranks, const std::string& what, int culprit = 1) {
  // The others are promised to end within 10 s.
  const std::string command = std::string("timeout 20 ") + FLOWDARTS_MPIRUN +
                              " --allow-run-as-root --oversubscribe --bind-to none -n " + std::to_string(ranks) + " " +
                              FLOWDARTS_RANKS_PROGRAM + " '" + what + "' " + std::to_string(culprit) + " 2>&1";
  FILE* pipe = ::popen(command.c_str(), "r");
  Outcome outcome;
  std::array<char, 512> part{};
  while (std::fgets(part.data(), part.size(), pipe) != nullptr) outcome.output += part.data();
  const int status = ::pclose(pipe);
  outcome.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return outcome;
}

std::size_t lines_with(const std::string& text, const std::string& pattern) {
  const std::regex regex(pattern);
  return static_cast<std::size_t>(std::distance(std::sregex_iterator(text.begin(), text.end(), regex), {}));
}

TEST(SeveralRanks, EndTogetherWhereNothingGoesWrong) {
  const Outcome outcome = run(3, "");
  EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
  EXPECT_THAT(outcome.output, HasSubstr("sum 9"));
}

TEST(SeveralRanks, EndWhereOneFailsAndSayWhichAndWhyOnce) {
  for (const int culprit : {0, 1, 3}) {
    const Outcome outcome = run(4, "fails", culprit);
    EXPECT_EQ(outcome.exit_code, 2) << outcome.output;
    EXPECT_EQ(lines_with(outcome.output, "ranks_program: rank " + std::to_string(culprit) +
                                             " \\([^)]*\\): --epochs: found 0, expected more\n"),
              1U)
        << outcome.output;
    EXPECT_EQ(outcome.output.find("sum"), std::string::npos);
  }
}

TEST(SeveralRanks, EndWhereOneIsKilledAndSayWhich) {
  for (const int culprit : {0, 1}) {
    const Outcome outcome = run(3, "is killed", culprit);
    EXPECT_NE(outcome.exit_code, 0) << outcome.output;
    EXPECT_NE(outcome.exit_code, 124) << "ended by timeout: " << outcome.output;
    EXPECT_EQ(lines_with(outcome.output, "ranks_program: rank " + std::to_string(culprit) +
                                             " \\([^)]*\\): its process [0-9]+ is gone\n"),
              1U)
        << outcome.output;
  }
}

TEST(SeveralRanks, NameOneThatLagsAndGoOn) {
  const Outcome outcome = run(2, "lags", 1);
  EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
  EXPECT_EQ(lines_with(outcome.output, "rank 1 \\([^)]*\\) lags: others have waited for it for [0-9]+ s\n"), 1U)
      << outcome.output;
  EXPECT_THAT(outcome.output, HasSubstr("sum 4"));
}

TEST(SeveralRanks, TellRankZeroLines) {
  const Outcome outcome = run(2, "tells", 1);
  EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
  EXPECT_EQ(lines_with(outcome.output, "ranks_program: rank 1 \\([^)]*\\): a line\n"), 1U) << outcome.output;
}

}  // namespace
