#include <gmock/gmock.h>
#include <sys/ioctl.h>

#include <flowdarts/pipeline/run_directory/log.hpp>
#include <flowdarts/pipeline/run_directory/progress.hpp>
#include <flowdarts/pipeline/run_directory/terminal.hpp>
#include <fstream>
#include <limits>

#include "testing.hpp"

namespace flowdarts {
namespace {

using namespace testing;
using ::testing::MatchesRegex;
using namespace std::chrono_literals;

// A terminal of our own: what the program writes to `program_end` is read back as a screen would get it.
class PseudoTerminal {
 public:
  explicit PseudoTerminal(unsigned short columns) {
    ::setenv("TERM", "xterm", 1);
    screen_ = ::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (screen_ < 0 || ::grantpt(screen_) != 0 || ::unlockpt(screen_) != 0) throw std::runtime_error("no terminal");
    program_ = ::open(::ptsname(screen_), O_RDWR | O_NOCTTY | O_CLOEXEC);
    const winsize size{24, columns, 0, 0};
    ::ioctl(program_, TIOCSWINSZ, &size);
  }
  PseudoTerminal(const PseudoTerminal&) = delete;
  PseudoTerminal& operator=(const PseudoTerminal&) = delete;
  ~PseudoTerminal() {
    ::close(program_);
    ::close(screen_);
  }
  int program_end() const { return program_; }
  std::string output(std::chrono::milliseconds timeout = 2s) const { return read_available(screen_, timeout); }

 private:
  int screen_ = -1;
  int program_ = -1;
};

const std::string clear = "\r\x1b[K";

TEST(Terminal, KeepsTheStatusLineLast) {
  const PseudoTerminal screen(60);
  Terminal terminal(screen.program_end());
  ASSERT_TRUE(terminal.live());
  EXPECT_EQ(terminal.columns(), 60);
  terminal.print("first\n");
  EXPECT_EQ(screen.output(), "first\r\n");
  terminal.set_status("working");
  EXPECT_EQ(screen.output(), clear + "working");
  terminal.print("second\n");
  EXPECT_EQ(screen.output(), clear + "second\r\n" + "working");
  terminal.set_status("");
  EXPECT_EQ(screen.output(), clear);
  terminal.print("third\n");
  EXPECT_EQ(screen.output(), "third\r\n");
}

TEST(Terminal, ClearsTheStatusLineAtItsEnd) {
  const PseudoTerminal screen(60);
  { Terminal(screen.program_end()).set_status("working"); }
  EXPECT_EQ(screen.output(), clear + "working" + clear);
}

TEST(Terminal, AFileOrADumbTerminalGetsPlainLines) {
  const Pipe pipe;
  Terminal terminal(pipe.write_end());
  EXPECT_FALSE(terminal.live());
  EXPECT_EQ(terminal.columns(), 80);
  terminal.set_status("working");
  terminal.print("line\n");
  EXPECT_EQ(read_available(pipe.read_end()), "line\n");

  const PseudoTerminal screen(60);
  ::setenv("TERM", "dumb", 1);
  EXPECT_FALSE(Terminal(screen.program_end()).live());
  ::setenv("TERM", "xterm", 1);
}

TEST(Terminal, LinesOfManyThreadsAreNotTorn) {
  const Pipe pipe;
  Terminal terminal(pipe.write_end());
  std::vector<std::thread> threads;
  for (char c : {'a', 'b', 'c', 'd'})
    threads.emplace_back([&, c] {
      for (int i = 0; i < 50; ++i) terminal.print(std::string(70, c) + "\n");
    });
  for (auto& thread : threads) thread.join();
  std::string text = read_available(pipe.read_end());
  ASSERT_EQ(text.size(), 200U * 71U);
  for (std::size_t i = 0; i < text.size(); i += 71) ASSERT_EQ(text.substr(i, 71), std::string(70, text[i]) + "\n");
}

TEST(Log, GoesToTheTerminalAndToTheFile) {
  const TemporaryFolder folder;
  const Pipe pipe;
  const auto terminal = std::make_shared<Terminal>(pipe.write_end());
  const auto logger = make_logger(terminal, spdlog::level::info);
  logger->info("before the directory");
  add_log_file(*logger, folder / "log.txt");
  logger->debug("too fine");
  logger->warn("{} left", 3);
  EXPECT_THAT(read_available(pipe.read_end()),
              MatchesRegex("[0-9:]+ info  before the directory\n[0-9:]+ warning 3 left\n"));
  EXPECT_THAT(read_text_file(folder / "log.txt"),
              MatchesRegex("[0-9]+-[0-9]+-[0-9]+T[0-9:.]+[+-][0-9:]+ warning 3 left\n"));
}

TEST(Log, DoesNotTearTheStatusLine) {
  const PseudoTerminal screen(60);
  const auto terminal = std::make_shared<Terminal>(screen.program_end());
  const auto logger = make_logger(terminal, spdlog::level::info);
  terminal->set_status("working");
  screen.output();
  logger->info("text");
  EXPECT_THAT(screen.output(), MatchesRegex("\r\x1b\\[K[0-9:]+ info  text\r\nworking"));
}

TEST(Log, AppendsAfterACrash) {
  const TemporaryFolder folder;
  std::ofstream(folder / "log.txt") << "whole\nhalf a li";
  const Pipe pipe;
  const auto logger = make_logger(std::make_shared<Terminal>(pipe.write_end()), spdlog::level::info);
  add_log_file(*logger, folder / "log.txt");
  logger->info("next");
  EXPECT_THAT(read_text_file(folder / "log.txt"), MatchesRegex("whole\nhalf a li\n[^\n]+ next\n"));
}

TEST(Log, AFullDiskIsSaidOnTheTerminal) {
  const TemporaryFolder folder;
  const Pipe pipe;
  const auto logger = make_logger(std::make_shared<Terminal>(pipe.write_end()), spdlog::level::info);
  add_log_file(*logger, folder / "log.txt", faulty_calls(2, Fault::fail_on, ENOSPC, std::make_shared<int>(0)));
  logger->info("text");
  const std::string output = read_available(pipe.read_end());
  EXPECT_NE(output.find("a log message was lost: cannot write " + (folder / "log.txt").string() + ": No space"),
            std::string::npos)
      << output;
}

SearchProgress some_progress() {
  return {.epoch = 3,
          .epochs = 50,
          .step = 120,
          .steps = 391,
          .loss = 1.23456,
          .accuracy = 0.4561,
          .images_per_second = 1234.4,
          .train_left = 20000,
          .val_left = 18500,
          .seconds_left = 3725};
}

TEST(Progress, ShowsAllThatFits) {
  EXPECT_EQ(format_progress(some_progress(), 120),
            "epoch 3/50  step 120/391  loss 1.235  acc 45.6%  1,234 img/s  T 20,000  V 18,500  ETA 1h02m");
  EXPECT_EQ(format_progress(some_progress(), 80),
            "epoch 3/50  step 120/391  loss 1.235  acc 45.6%  1,234 img/s  ETA 1h02m");
  EXPECT_EQ(format_progress(some_progress(), 40), "epoch 3/50  step 120/391  loss 1.235");
  SearchProgress unknown = some_progress();
  unknown.seconds_left.reset();
  unknown.loss = std::numeric_limits<double>::quiet_NaN();
  EXPECT_EQ(format_progress(unknown, 60), "epoch 3/50  step 120/391  loss nan  acc 45.6%  1,234 img/s");
}

TEST(Progress, NeverExceedsTheWidth) {
  SearchProgress huge = some_progress();
  huge.step = huge.steps = huge.train_left = huge.val_left = std::numeric_limits<std::int64_t>::max();
  huge.loss = -1e300;
  huge.images_per_second = std::numeric_limits<double>::infinity();
  huge.seconds_left = 1e300;
  std::size_t last = 0;
  for (int width = -1; width < 200; ++width)
    for (const auto& progress : {some_progress(), huge}) {
      const std::string line = format_progress(progress, width);
      EXPECT_LE(line.size(), static_cast<std::size_t>(std::max(width, 0)));
      last = std::max(last, line.size());
    }
  EXPECT_GT(last, 100U);
}

TEST(Progress, AnEpochIsOneLine) {
  EXPECT_EQ(format_epoch(some_progress(), 75),
            "epoch 3/50  loss 1.235  acc 45.6%  1,234 img/s  T 20,000  V 18,500  1m15s  ETA 1h02m");
}

TEST(Progress, DurationsAreReadable) {
  EXPECT_EQ(format_duration(0.44), "0.4s");
  EXPECT_EQ(format_duration(9.96), "10s");
  EXPECT_EQ(format_duration(59.4), "59s");
  EXPECT_EQ(format_duration(59.6), "1m00s");
  EXPECT_EQ(format_duration(185), "3m05s");
  EXPECT_EQ(format_duration(3599.9), "1h00m");
  EXPECT_EQ(format_duration(3725), "1h02m");
  EXPECT_EQ(format_duration(86400 + 3 * 3600), "1d03h");
  for (const double odd :
       {-1.0, 1e300, std::numeric_limits<double>::infinity(), std::numeric_limits<double>::quiet_NaN()})
    EXPECT_EQ(format_duration(odd), "?");
}

TEST(Progress, CountsAreReadable) {
  EXPECT_EQ(format_count(0), "0");
  EXPECT_EQ(format_count(999), "999");
  EXPECT_EQ(format_count(1000), "1,000");
  EXPECT_EQ(format_count(1234567), "1,234,567");
  EXPECT_EQ(format_count(-100), "-100");
  EXPECT_EQ(format_count(-1000), "-1,000");
}

TEST(Throughput, IsTheRateOfTheLastSeconds) {
  auto now = Throughput::Clock::time_point{};
  Throughput throughput(now);
  EXPECT_EQ(throughput.per_second(), 0);
  for (int i = 0; i < 100; ++i) throughput.add(64, now += 100ms);
  EXPECT_NEAR(throughput.per_second(), 640, 1e-6);
  for (int i = 0; i < 1000; ++i) throughput.add(64, now += 200ms);
  EXPECT_NEAR(throughput.per_second(), 320, 1e-3);
  for (int i = 0; i < 50; ++i) throughput.add(64, now += 100ms);
  EXPECT_GT(throughput.per_second(), 400);
  EXPECT_LT(throughput.per_second(), 500);
}

TEST(ProgressLine, IsRedrawnAtMostTenTimesASecond) {
  const PseudoTerminal screen(200);
  Terminal terminal(screen.program_end());
  ProgressLine line(terminal);
  SearchProgress progress = some_progress();
  auto now = ProgressLine::Clock::time_point{};
  std::string output;
  for (int i = 0; i < 200; ++i) {  // two seconds
    progress.step = i;
    line.update(progress, now += 10ms);
    output += screen.output(0ms);
  }
  output += screen.output(100ms);
  int draws = 0;
  for (auto at = output.find(clear); at != std::string::npos; at = output.find(clear, at + 1)) ++draws;
  EXPECT_EQ(draws, 20);
  line.epoch_done(progress, 3);
  EXPECT_EQ(screen.output(20ms), "");
  line.finish();
  EXPECT_EQ(screen.output(), clear);
}

TEST(ProgressLine, FitsANarrowTerminal) {
  const PseudoTerminal screen(30);
  Terminal terminal(screen.program_end());
  ProgressLine(terminal).update(some_progress());
  EXPECT_EQ(screen.output(), clear + "epoch 3/50  step 120/391");
}

TEST(ProgressLine, IsAPlainLineAnEpochElsewhere) {
  const Pipe pipe;
  Terminal terminal(pipe.write_end());
  ProgressLine line(terminal);
  for (int i = 0; i < 100; ++i) line.update(some_progress());
  line.epoch_done(some_progress(), 75);
  EXPECT_EQ(read_available(pipe.read_end()), format_epoch(some_progress(), 75) + "\n");
}

}  // namespace
}  // namespace flowdarts
