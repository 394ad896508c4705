#pragma once
// What travels along the edges of the flow graph. Nothing here knows LibTorch: device results arrive as host memory.

#include <array>
#include <cstddef>
#include <cstdint>
#include <flowdarts/spaces/support/split.hpp>
#include <flowdarts/stages/accumulate/error_history.hpp>
#include <flowdarts/stages/load/batch.hpp>
#include <flowdarts/stages/load/sampler.hpp>
#include <flowdarts/stages/ranks/communicator.hpp>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace flowdarts {

/// One value for T and one for V.
template <class T>
struct PerSplit {
  T train{};
  T val{};
  T& operator[](Split split) { return split == Split::train ? train : val; }
  const T& operator[](Split split) const { return split == Split::train ? train : val; }
  friend bool operator==(const PerSplit&, const PerSplit&) = default;
};

/// The ids of the samples still in T and in V, each ascending.
using SampleLists = PerSplit<std::vector<std::int64_t>>;

/// Asks for the plan of one epoch. All that a plan depends on is in here.
struct PlanRequest {
  std::int64_t epoch = 0;       ///< from 0
  std::int64_t first_step = 0;  ///< > 0 only for the epoch a resumed search stopped in
  std::shared_ptr<const SampleLists> lists;
  PersistentIterator::State val_state;  ///< of the V iterator at the epoch's start
};

/// What one epoch will visit, in order: step s trains w on train batch s and, where there is an arch step, alpha on val
/// batch s.
struct EpochPlan {
  PlanRequest request;
  std::vector<std::vector<std::int64_t>> train_batches;
  std::vector<PersistentIterator::Draw> val_batches;  ///< as many, or none where alpha is not trained
  PersistentIterator::State val_state_after;

  [[nodiscard]] std::int64_t epoch() const { return request.epoch; }
  [[nodiscard]] std::int64_t steps() const { return static_cast<std::int64_t>(train_batches.size()); }
};

/// The results of one forward pass, on their way from the device. Reading them waits for the device where it must.
class DeviceResults {
 public:
  DeviceResults() = default;
  DeviceResults(const DeviceResults&) = delete;
  DeviceResults& operator=(const DeviceResults&) = delete;
  virtual ~DeviceResults() = default;
  [[nodiscard]] virtual double loss() const = 0;                    ///< mean cross-entropy of the batch
  [[nodiscard]] virtual std::int64_t correct() const = 0;           ///< samples whose largest logit is their label's
  [[nodiscard]] virtual std::span<const float> errors() const = 0;  ///< ||softmax - one-hot||_2 of each sample
};

/// A point in a GPU's work, which it may not have reached yet.
class DeviceMark {
 public:
  DeviceMark() = default;
  DeviceMark(const DeviceMark&) = delete;
  DeviceMark& operator=(const DeviceMark&) = delete;
  virtual ~DeviceMark() = default;
  /// Seconds on the device's clock from `before`, an earlier mark of the same device, to this one. Waits for the device
  /// where it must.
  [[nodiscard]] virtual double since(const DeviceMark& before) const = 0;
};

/// When a GPU did what in a step. All null on a CPU, whose work is done when a call returns: the host's times count.
struct DeviceMarks {
  std::shared_ptr<const DeviceMark> idle;  ///< nothing to do from here on
  std::shared_ptr<const DeviceMark> begun, arch_done, weight_done;
};

/// One split's part of a step: the ids of its batch and what the update's own forward pass said of them.
struct SplitReport {
  std::vector<std::int64_t> ids;
  std::shared_ptr<const DeviceResults> results;
};

/// The batches of one step, in order restored.
struct StepInput {
  std::shared_ptr<const EpochPlan> plan;
  std::int64_t step = 0;
  std::optional<Batch> val;
  Batch train;
};

/// What the device executor says after each step. Empty parts: no such update took place.
struct StepReport {
  std::shared_ptr<const EpochPlan> plan;
  std::int64_t step = 0;
  std::optional<SplitReport> val;
  std::optional<SplitReport> train;
  double arch_seconds = 0, weight_seconds = 0;
  double waited_seconds = 0;  ///< the device executor had nothing to do
  double read_seconds = 0;    ///< of waiting for the files of this step's batches, by all reader threads together
  double load_seconds = 0;    ///< spent by the loaders on this step's batches
  DeviceMarks marks;
};

/// Named byte sections: tensors and other state copied off the device, ready for a checkpoint.
using Snapshot = std::vector<std::pair<std::string, std::vector<std::byte>>>;

/// The end of an epoch as the device executor sees it: shrunk, derived, judged.
struct EpochReport {
  std::shared_ptr<const EpochPlan> plan;
  std::shared_ptr<const Snapshot> snapshot;
  std::string genotype;                         ///< empty where the importance is not known yet
  std::vector<std::vector<double>> alphas;      ///< row-major, a vector a matrix
  std::vector<std::vector<double>> weights;     ///< their relaxation
  std::vector<std::vector<double>> importance;  ///< what the importance measured last; none where it measures nothing
  std::int64_t measured_after = 0;              ///< after so many epochs it was measured
  std::vector<std::vector<bool>> masks;         ///< which ops are left; none where all are for good
  std::optional<std::pair<double, double>>
      eigenvalues;    ///< of the validation Hessian: largest signed, largest magnitude
  bool stop = false;  ///< a stopping policy ends the search here
  double seconds = 0;
  Communicator::Traffic exchanged;  ///< over MPI by this process's device executor in the epoch
};

/// Sums over the steps of an epoch so far.
struct EpochSums {
  PerSplit<double> loss;  ///< of batch means times batch sizes
  PerSplit<std::int64_t> correct;
  PerSplit<std::int64_t> samples;
  double arch_seconds = 0, weight_seconds = 0, waited_seconds = 0, read_seconds = 0, load_seconds = 0;
};

/// The end of an epoch as the accumulator sees it.
struct EpochClose {
  std::shared_ptr<const EpochPlan> plan;
  EpochSums sums;
  bool prunes = false;  ///< both splits are pruned now, unless the search stops
  PerSplit<std::shared_ptr<const ErrorHistory>>
      histories;  ///< as they are at the epoch's end; null where none are kept
  PerSplit<std::shared_ptr<const std::vector<std::uint32_t>>>
      rankings;              ///< of their samples, where several processes made them together
  std::int64_t skipped = 0;  ///< broken samples left out so far, by all processes
};

/// One split after a pruning event, or untouched where there was none.
struct PruneReport {
  bool pruned = false;
  std::vector<std::int64_t> kept;  ///< ids, ascending
  std::int64_t removed = 0;
  double balance = 1;  ///< class-balance degree b of the split as it was before the event
  double divisor = 1;  ///< N
  std::vector<std::int64_t> removed_by_class;
  double seconds = 0;
};

/// A search asked to stop in mid-epoch: what its checkpoint needs.
struct Interruption {
  std::shared_ptr<const EpochPlan> plan;
  std::int64_t step = 0;  ///< the first one not done
  std::shared_ptr<const Snapshot> snapshot;
  EpochSums sums;
  PerSplit<std::shared_ptr<const ErrorHistory>> histories;
};

}  // namespace flowdarts
