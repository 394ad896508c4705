#pragma once
// What a training shows and leaves behind, beyond its checkpoints.

#include <flowdarts/pipeline/messages.hpp>
#include <flowdarts/pipeline/run_directory/metrics.hpp>
#include <flowdarts/pipeline/run_directory/progress.hpp>
#include <flowdarts/pipeline/run_directory/run_directory.hpp>
#include <flowdarts/pipeline/run_directory/tensorboard.hpp>
#include <flowdarts/pipeline/training/options.hpp>

#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

namespace spdlog {
class logger;
}

namespace flowdarts {

/// All that is recorded of one epoch. Accuracies are from 0 to 1.
struct TrainedEpoch {
  std::int64_t number = 0;  ///< from 1
  std::int64_t epochs = 0;
  std::int64_t steps = 0;
  double lr = 0;
  EpochSums sums;
  double test_loss = 0, test_accuracy = 0;
  std::optional<double> test_top5;  ///< of more than five classes
  double test_seconds = 0;
  std::int64_t skipped = 0;  ///< broken images left out so far
};

class TrainingOutput {
 public:
  /// Locks the run directory and opens its log.
  TrainingOutput(const TrainRunOptions& options, bool resume, std::shared_ptr<Terminal> terminal);

  /// Opens metrics and events. What they say of epochs after the `completed` ones, which are done again, is dropped.
  /// images_before: of the first epoch, seen by an earlier process.
  void begin(std::int64_t completed, std::int64_t images_before);

  /// After each step.
  void step(const StepReport& report, const EpochSums& sums, std::int64_t epochs);
  /// Writes a finished epoch's row of metrics.jsonl, its events and the plain progress line.
  void epoch(const TrainedEpoch& epoch);
  void finish() { progress_.finish(); }
  /// Says in log.txt why the training failed; on the terminal the program does.
  void fail(const std::string& reason);

  void info(const std::string& line);
  void warn(const std::string& line);
  /// After so many epochs and, of the next one, steps.
  void interrupted(std::int64_t epochs, std::int64_t steps);

  [[nodiscard]] const RunDirectory& directory() const { return directory_; }

 private:
  using Clock = std::chrono::steady_clock;

  std::shared_ptr<Terminal> terminal_;
  RunDirectory directory_;
  std::shared_ptr<spdlog::logger> log_;
  std::mutex progress_mutex_;  // steps and epochs are reported by two nodes of the graph
  ProgressLine progress_;
  Throughput throughput_;
  Clock::time_point epoch_start_ = Clock::now();
  Clock::time_point start_ = Clock::now();
  std::int64_t steps_seen_ = 0;
  std::int64_t images_before_ = 0;
  std::optional<MetricsWriter> metrics_;
  std::optional<EventWriter> events_;
};

}  // namespace flowdarts
