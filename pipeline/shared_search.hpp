#pragma once
// What the processes of one search do together. Of one process everything here is free and changes nothing.

#include <cstddef>
#include <cstdint>
#include <flowdarts/pipeline/messages.hpp>
#include <flowdarts/pipeline/run_directory/checkpoint.hpp>
#include <flowdarts/stages/prune/sort.hpp>
#include <flowdarts/stages/ranks/ranks.hpp>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace flowdarts {

/// The ranks of a search with their communicators. Every member function that says so is collective. A communicator
/// belongs to one thread at a time: `device` to the device executor, `accumulator` to the accumulate node, both to the
/// caller while no graph runs.
class SharedSearch {
 public:
  /// Opens the communicators: collective. Throws std::invalid_argument for no ranks.
  explicit SharedSearch(std::shared_ptr<Ranks> ranks);

  [[nodiscard]] Ranks& ranks() const { return *ranks_; }
  [[nodiscard]] bool several() const { return ranks_->several(); }
  /// Whether this process writes the run directory and reports what all have.
  [[nodiscard]] bool writes() const { return ranks_->writes(); }

  /// Null for one process. GradientSum's and RankSum's own.
  [[nodiscard]] const std::shared_ptr<Communicator>& gradients() const { return gradients_; }
  [[nodiscard]] const std::shared_ptr<Communicator>& statistics() const { return statistics_; }

  // ---- Batches ----

  /// This process's part of a batch.
  [[nodiscard]] BatchPlan share_of(BatchPlan whole) const;
  /// Whether this process reports the batch: of one that all have, the first process does.
  [[nodiscard]] bool reports(const Batch& batch) const { return !batch.share.everywhere || writes(); }

  // ---- On the device executor's thread ----

  /// Where samples may have been left out as broken: sets the parts of the whole by what is there, and empties a batch
  /// of which some process has nothing. Collective.
  void agree_on(std::span<Batch* const> batches) const;
  /// 0, or the signal that some process has got. Collective.
  [[nodiscard]] int agree_on_signal(int own) const;
  /// Replaces values by their sums over the processes. Collective.
  void add_up(std::span<double> values) const;
  /// The bytes of every process. Collective.
  [[nodiscard]] std::vector<std::vector<std::byte>> gather(std::span<const std::byte> own) const;
  /// The first process's bytes. Collective.
  [[nodiscard]] std::vector<std::byte> from_first(std::span<const std::byte> own) const;

  /// All that this process has exchanged so far, less the accumulate node's part.
  [[nodiscard]] Communicator::Traffic traffic() const;

  /// A name and a hash of each thing that all processes must have alike.
  using Fingerprints = std::vector<std::pair<std::string, std::uint64_t>>;
  /// Throws RunError naming the first difference, the process and `when`. Collective.
  void require_same(const Fingerprints& own, const std::string& when) const;
  /// Throws InputError where a process was started as another search. Collective.
  void require_same_identity(const Identity& own) const;

  // ---- In the accumulate node ----

  /// Adds up an epoch's sums and its observations so far. Seconds stay this process's. Collective.
  void merge(EpochSums& sums, PerSplit<std::optional<ErrorHistory>>& histories) const;
  [[nodiscard]] std::int64_t sum(std::int64_t own) const;
  /// Each process sorts its share, all merge: rank() of a history's variances of error. Collective.
  [[nodiscard]] std::vector<std::uint32_t> rank_together(const ErrorHistory& history, SortOrder order,
                                                         Sorter sorter) const;

 private:
  std::shared_ptr<Ranks> ranks_;
  std::shared_ptr<Communicator> device_, accumulator_, gradients_, statistics_;
};

/// The cores that this process may use: those it is bound to, and no more than its part of its host's.
[[nodiscard]] int cores_of(const Ranks& ranks);

/// What to say where a process is bound to fewer cores than its part of its host's; empty where it is not.
[[nodiscard]] std::string lack_of_cores(const Ranks& ranks);

}  // namespace flowdarts
