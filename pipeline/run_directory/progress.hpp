#pragma once
// How far a search or a training is, on one line.

#include <chrono>
#include <cstdint>
#include <flowdarts/pipeline/run_directory/terminal.hpp>
#include <optional>
#include <string>

namespace flowdarts {

struct SearchProgress {
  std::int64_t epoch = 0;   // counted from 1
  std::int64_t epochs = 0;  // of the whole search
  std::int64_t step = 0;    // finished in this epoch
  std::int64_t steps = 0;   // of this epoch
  double loss = 0;
  double accuracy = 0;                  // 0 to 1
  double images_per_second = 0;         // T and V together
  std::int64_t train_left = 0;          // samples that pruning has left in T
  std::int64_t val_left = 0;            // and in V; neither is shown where both are 0
  std::optional<double> test_accuracy;  // 0 to 1
  std::optional<double> seconds_left;
};

/// "epoch 3/50  step 120/391  loss 1.234  acc 45.6%  1,234 img/s  T 20,000  V 18,500  ETA 1h02m", at most `width`
/// characters: fields are left out, the least needed first, until the line fits.
std::string format_progress(const SearchProgress& progress, int width);

/// One plain line for a finished epoch, `seconds` long.
std::string format_epoch(const SearchProgress& progress, double seconds);

/// "0.4s", "42s", "3m05s", "1h02m", "2d03h"; "?" where it is not finite or negative.
std::string format_duration(double seconds);
/// 1234567 -> "1,234,567".
std::string format_count(std::int64_t count);

/// A rate per second that forgets what is older than some ten seconds.
class Throughput {
 public:
  using Clock = std::chrono::steady_clock;

  explicit Throughput(Clock::time_point start = Clock::now()) : last_(start) {}
  void add(std::int64_t count, Clock::time_point now = Clock::now());
  double per_second() const;

 private:
  Clock::time_point last_;
  double count_ = 0;  // both decayed
  double seconds_ = 0;
};

/// Shows a search's progress: on a live terminal one line in place, redrawn at most ten times a second; elsewhere a
/// plain line an epoch.
class ProgressLine {
 public:
  using Clock = std::chrono::steady_clock;

  explicit ProgressLine(Terminal& terminal) : terminal_(&terminal) {}

  void update(const SearchProgress& progress, Clock::time_point now = Clock::now());
  void epoch_done(const SearchProgress& progress, double seconds);
  /// Takes the live line away.
  void finish() { terminal_->set_status(""); }

 private:
  Terminal* terminal_;
  std::optional<Clock::time_point> drawn_;
};

}  // namespace flowdarts
