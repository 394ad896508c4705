#pragma once
// What a search shows and leaves behind, beyond its checkpoints.

#include <flowdarts/pipeline/messages.hpp>
#include <flowdarts/pipeline/options.hpp>
#include <flowdarts/pipeline/run_directory/metrics.hpp>
#include <flowdarts/pipeline/run_directory/progress.hpp>
#include <flowdarts/pipeline/run_directory/run_directory.hpp>
#include <flowdarts/pipeline/run_directory/tensorboard.hpp>
#include <flowdarts/spaces/budget.hpp>
#include <flowdarts/spaces/support/collapse.hpp>
#include <flowdarts/stages/load/dataset.hpp>
#include <flowdarts/stages/ranks/ranks.hpp>

#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace spdlog {
class logger;
}

namespace flowdarts {

/// All that is recorded of one epoch.
struct EpochRecord {
  const EpochClose* close = nullptr;
  const PerSplit<PruneReport>* pruned = nullptr;
  const EpochReport* report = nullptr;
  std::int64_t epochs = 0;
  double lr = 0;
  PerSplit<double> balance{};  ///< class-balance degree b of T and V as this epoch used them
  std::vector<std::pair<std::string, double>> true_accuracies;
  std::optional<NetworkCost> cost;          ///< of the genotype's stand-alone network, where the space knows it
  std::int64_t skipped = 0;                 ///< broken samples left out so far
  std::string importance;                   ///< the policy's name
  bool low_is_important = false;            ///< of what the importance measured
  std::optional<CollapseVerdict> collapse;  ///< where there is a genotype
  bool collapsed_before = false;            ///< the genotype before this one
};

/// Of several processes the first one's writes and shows; those of others do nothing but send it their warnings.
class SearchOutput {
 public:
  /// Locks the run directory and opens its log.
  SearchOutput(const RunOptions& options, bool resume, std::shared_ptr<Terminal> terminal,
               std::shared_ptr<Ranks> ranks = std::make_shared<Ranks>());
  SearchOutput(const SearchOutput&) = delete;
  SearchOutput& operator=(const SearchOutput&) = delete;
  ~SearchOutput();

  /// Opens metrics and events. What they say of epochs after the `completed` ones, which this search does again, is
  /// dropped: also where a run was killed before its first checkpoint. images_before: of the first epoch, seen by an
  /// earlier process.
  void begin(std::int64_t completed, std::int64_t images_before);

  /// After each step.
  void step(const StepReport& report, const EpochSums& sums, std::int64_t epochs);

  /// Writes metrics.jsonl, the event file and the plain progress line of a finished epoch, and the genotype files where
  /// there is a genotype yet.
  void epoch(const EpochRecord& record, const std::string& genotype_json, const std::string& genotype_dot);

  void finish() { progress_.finish(); }

  /// Says in log.txt why the search failed; on the terminal its program does.
  void fail(const std::string& reason);

  // Lines of the log. Compiled once: what a search formats itself, each of its programs would instantiate.
  void info(const std::string& line);
  void warn(const std::string& line);
  /// A warning about this process alone: the first one hears of it.
  void warn_of_own(const std::string& line);
  void images(const Dataset& dataset, const SampleLists& lists, int compute_threads, int loader_threads);
  void processes(const RunOptions& options);
  void cut(Split split, std::size_t kept, std::size_t before);
  /// The derived network's cost is over the budget; `inside`: what took its place costs, or nothing did.
  void over_budget(const NetworkCost& derived, const std::optional<NetworkCost>& inside);
  void pruned(Split split, const PruneReport& report);
  /// After so many epochs and, of the next one, steps.
  void interrupted(std::int64_t epochs, std::int64_t steps);

  /// The first process's alone.
  [[nodiscard]] const RunDirectory& directory() const { return *directory_; }

 private:
  using Clock = std::chrono::steady_clock;

  /// A warning where the verdict turns to a collapse, an information where it turns back, else nothing.
  void collapse(const CollapseVerdict& verdict, bool collapsed_before, std::int64_t epoch);

  std::shared_ptr<Terminal> terminal_;
  std::shared_ptr<Ranks> ranks_;
  std::optional<RunDirectory> directory_;
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
