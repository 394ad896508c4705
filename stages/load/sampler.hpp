#pragma once
// The order in which samples are visited.

#include <cstdint>
#include <flowdarts/spaces/support/split.hpp>
#include <span>
#include <utility>
#include <vector>

namespace flowdarts {

/// How a data set wants to be read. `shards`: ids shards[k] .. shards[k + 1] - 1 lie one behind the other in one file,
/// and an order reads file after file; empty: any order is as good as any other. A view, of what a Dataset keeps.
struct Locality {
  std::span<const std::int64_t> shards = {};
  std::int64_t shuffle_buffer = 1;  ///< samples that are mixed with one another
};

/// A shuffled copy of `ids`, the same for the same (ids, seed, split, pass). T and V draw from streams of their own.
/// With shards: these in random order, the ids of each as they are, all passed through a buffer of
/// `locality.shuffle_buffer` ids: each leaves it for the next one to enter, at random. `ids` must be ascending then.
/// Throws InputError for a buffer below 1 and for an id that is in no shard.
[[nodiscard]] std::vector<std::int64_t> epoch_order(std::span<const std::int64_t> ids, std::uint64_t seed, Split split,
                                                    std::int64_t pass, const Locality& locality = {});

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

  /// Begins with pass 0. What `locality` views must outlive this. Throws InputError if `ids` is empty, `batch_size` is
  /// not positive, and as epoch_order().
  PersistentIterator(std::vector<std::int64_t> ids, std::int64_t batch_size, std::uint64_t seed, Split split)
      : PersistentIterator(std::move(ids), batch_size, seed, split, State{}) {}

  /// Continues at `state`. Throws also if it cannot have come from an iterator over as many ids.
  PersistentIterator(std::vector<std::int64_t> ids, std::int64_t batch_size, std::uint64_t seed, Split split,
                     State state, const Locality& locality = {});

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
  Locality locality_;
  State state_;
};

}  // namespace flowdarts
