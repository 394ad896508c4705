#pragma once
// What a search remembers of its per-sample errors: for each sample of one split the mean and the variance of its error
// over the epochs of the current window.

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace flowdarts {

/// Variance of error of every sample of a split, in the order of its ids (BDP, section 3; docs/methods/bdp-darts.md).
struct VarianceOfError {
  std::vector<double> variance;        // population variance (divisor: epochs observed) of the window; 0 below 2 epochs
  std::vector<std::uint32_t> epochs;   // epochs of the window in which the sample was observed
  std::vector<std::uint8_t> eligible;  // 1 where the variance is defined: at least 2 epochs observed
};

/// The errors of one split's samples over one window of epochs. Errors arrive in float32, everything is accumulated in
/// double: an epoch's value is the mean of its observations, values are folded into the window by Welford's update. The
/// result depends on the observations and, in the last bits, on their order; on nothing else.
class ErrorHistory {
 public:
  /// Everything a checkpoint must keep. All vectors have one entry a sample.
  struct State {
    std::vector<std::int64_t> ids;            // global sample ids, strictly ascending
    std::vector<double> mean;                 // of the window's epoch values
    std::vector<double> m2;                   // sum of their squared deviations from the mean
    std::vector<std::uint32_t> epochs;        // number of epoch values in the window
    std::vector<double> epoch_sum;            // of the current epoch's observations
    std::vector<std::uint32_t> epoch_visits;  // number of the current epoch's observations

    bool operator==(const State&) const = default;
  };

  /// An empty window over the samples `ids` (strictly ascending, else InputError).
  explicit ErrorHistory(std::vector<std::int64_t> ids);

  /// Continues from a saved state. InputError if the vectors differ in length or the ids do not ascend.
  explicit ErrorHistory(State state);

  /// Adds observations of the current epoch: `errors[i]` is an error of sample `ids[i]`, in any order, repeats allowed.
  /// RunError naming the sample if an id is not of this split or an error is not finite; nothing is added then.
  void observe(std::span<const std::int64_t> ids, std::span<const float> errors);

  /// Adds up what several histories of the same samples have observed in the current epoch, each in a process of its
  /// own. add_up: replaces values by their sums over the processes.
  void merge_epoch(const std::function<void(std::span<double>)>& add_up);

  /// Forgets the observations of the current epoch.
  void forget_epoch();

  /// Folds the current epoch's values into the window. Samples not observed in it get no value.
  void end_epoch();

  /// The variance of error over the epochs ended so far in this window.
  [[nodiscard]] VarianceOfError voe() const;

  /// Starts a new window: forgets all observations, those of an epoch not ended included.
  void clear();

  /// Drops all samples but `kept` (strictly ascending, a subset of ids(), else RunError); their observations stay.
  void keep(std::span<const std::int64_t> kept);

  [[nodiscard]] std::span<const std::int64_t> ids() const { return state_.ids; }
  [[nodiscard]] const State& state() const { return state_; }

 private:
  State state_;
};

}  // namespace flowdarts
