#pragma once
// The order in which samples are visited.

#include <cstdint>
#include <flowdarts/spaces/support/split.hpp>
#include <span>
#include <utility>
#include <vector>

namespace flowdarts {

/// A shuffled copy of `ids`, the same for the same (ids, seed, split, pass). T and V draw from streams of their own.
[[nodiscard]] std::vector<std::int64_t> epoch_order(std::span<const std::int64_t> ids, std::uint64_t seed, Split split,
                                                    std::int64_t pass);

/// Runs over a split in batches, pass after pass, each in a fresh order: every id comes once a pass. The last batch of
/// a pass may be smaller; no batch spans two passes. A value type whose State is all there is to save.
class PersistentIterator {
 public:
  struct State {
    std::int64_t pass = 0;
    std::int64_t position = 0;  ///< ids of this pass already given
    friend bool operator==(const State&, const State&) = default;
  };

  struct Draw {
    std::int64_t pass = 0;
    std::int64_t index = 0;  ///< of the batch in its pass
    std::vector<std::int64_t> ids;
  };

  /// Begins with pass 0. Throws InputError if `ids` is empty or `batch_size` is not positive.
  PersistentIterator(std::vector<std::int64_t> ids, std::int64_t batch_size, std::uint64_t seed, Split split)
      : PersistentIterator(std::move(ids), batch_size, seed, split, State{}) {}

  /// Continues at `state`. Throws also if it cannot have come from an iterator over as many ids.
  PersistentIterator(std::vector<std::int64_t> ids, std::int64_t batch_size, std::uint64_t seed, Split split,
                     State state);

  /// The next batch; begins a new pass when the last one is used up.
  [[nodiscard]] Draw next();

  [[nodiscard]] const State& state() const { return state_; }
  [[nodiscard]] std::int64_t batches_per_pass() const;

  /// Goes on with other ids (those left after pruning), in a new pass.
  void reset(std::vector<std::int64_t> ids);

 private:
  void check() const;

  std::vector<std::int64_t> ids_;
  std::vector<std::int64_t> order_;  // of the current pass
  std::int64_t batch_size_;
  std::uint64_t seed_;
  Split split_;
  State state_;
};

}  // namespace flowdarts
