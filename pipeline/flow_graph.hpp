#pragma once
// The flow graph of a search. It knows what follows what, keeps order, bounds what is in flight and ends cleanly; what
// happens in each node is given to it.
//
// clang-format off
//   plan -> batches -> tickets -> limit reads -> read -> restore order -> limit -> decode -> restore order -+
//     ^                               ^                                     ^        |                      |
//     |                               +---------- batches taken ------------|--------+                      v
//     |                                                                     |                        device executor
//     |                                                                     |                               |
//     |                                                                     +---- batches done ---- accumulate -+-> prune train -+
//     |                                                                                                |        +-> prune val ---+-> join
//     |                                                                                                +------ epoch report -----+    |
//     +--------------------------------------------- next epoch ----------------------------------- finish epoch <--------------------+
// clang-format on

#include <cstddef>
#include <flowdarts/pipeline/messages.hpp>
#include <functional>
#include <memory>
#include <optional>

namespace flowdarts {

/// What the nodes do. `read` and `decode` are called from many threads at once; `step`, `end_epoch` and `snapshot` by
/// the device executor's thread alone; `accumulate`, `plan_ahead`, `close_epoch` and `interrupt` by one thread at a
/// time; `finish_epoch` and `save_interruption` likewise; `prune` for the two splits at once.
struct GraphBodies {
  std::function<EpochPlan(const PlanRequest&)> plan;
  /// What of a batch this process loads. Empty: all of it.
  std::function<BatchPlan(BatchPlan)> share;
  /// Waits for one sample's file and computes nothing. Empty for a data set in memory: `decode` then gets no samples.
  std::function<EncodedSample(std::int64_t sample)> read;
  std::function<Batch(const BatchPlan&, const EncodedBatch&)> decode;
  std::function<StepReport(StepInput&&)> step;
  std::function<EpochReport(const std::shared_ptr<const EpochPlan>&)> end_epoch;
  std::function<std::shared_ptr<const Snapshot>()> snapshot;
  std::function<void(const StepReport&)> accumulate;
  /// Called at an epoch's first step: the next epoch's plan where it does not depend on how this one ends.
  std::function<std::optional<PlanRequest>(const EpochPlan&)> plan_ahead;
  std::function<EpochClose(const std::shared_ptr<const EpochPlan>&)> close_epoch;
  std::function<PruneReport(Split, const EpochClose&)> prune;
  /// All that is known of the epoch; gives the next one's plan where plan_ahead did not and the search goes on.
  std::function<std::optional<PlanRequest>(const EpochClose&, const PerSplit<PruneReport>&, const EpochReport&)>
      finish_epoch;
  /// Fills in what the accumulator holds of an interrupted epoch.
  std::function<void(Interruption&)> interrupt;
  std::function<void(const Interruption&)> save_interruption;
  /// Asked after each step; true ends the search there with a snapshot.
  std::function<bool()> stop_requested;
};

struct GraphSettings {
  int loader_threads = 1;    ///< threads that decode at once, at least 1
  std::size_t prefetch = 8;  ///< decoded batches at most, at least 2: a step holds one of V and one of T
  int reader_threads = 16;   ///< threads that wait for files at once, at least 1; none where there is no `read`
  /// Batches at most that are being read, or are read and wait for a thread that decodes them; at least 1.
  std::size_t read_ahead = 16;
};

/// As the options of a search or a training say.
template <class RunOptions>
[[nodiscard]] GraphSettings graph_settings(const RunOptions& run, int loader_threads) {
  return {.loader_threads = loader_threads,
          .prefetch = static_cast<std::size_t>(run.prefetch.value),
          .reader_threads = static_cast<int>(run.reader_threads.value),
          .read_ahead = static_cast<std::size_t>(run.read_ahead.value)};
}

/// Runs a search from `first` to its end, which is reached when no further plan is asked for, a report says stop, or
/// stop_requested. An exception in any node ends the graph, whatever is in flight: an InputError is thrown on as one,
/// std::bad_alloc as it is, anything else as a RunError, naming the node; no thread is left behind.
/// `start_device_thread` is called on the device executor's thread before anything else happens there and may throw
/// like a node.
void run_flow_graph(
    const GraphBodies& bodies, const GraphSettings& settings, const PlanRequest& first,
    const std::function<void()>& start_device_thread = [] {});

}  // namespace flowdarts
