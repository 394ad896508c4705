#pragma once
// A search's place in its loop, as checkpoints hold it.

#include <flowdarts/pipeline/messages.hpp>
#include <flowdarts/pipeline/run_directory/checkpoint.hpp>

#include <cstdint>
#include <memory>
#include <optional>

namespace flowdarts {

/// Everything of a search that is not a tensor: where it goes on, with which samples, and what it remembers of them.
struct SearchState {
  std::int64_t epoch = 0;  ///< completed epochs
  std::int64_t step = 0;   ///< completed steps of the next epoch; > 0 only after an interruption
  std::shared_ptr<const SampleLists> lists;
  PersistentIterator::State val_state;  ///< of the V iterator at the beginning of that next epoch
  EpochSums sums;                       ///< of its completed steps; times are not kept
  PerSplit<std::optional<ErrorHistory>> histories;
};

void put_state(CheckpointWriter& writer, const SearchState& state);

/// Throws InputError where the checkpoint's sections are not a state.
SearchState get_state(const Checkpoint& checkpoint);

/// The device's state.
void put_snapshot(CheckpointWriter& writer, const Snapshot& snapshot);

}  // namespace flowdarts
