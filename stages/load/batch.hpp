#pragma once
// What a loader is asked for and what it gives.

#include <cstdint>
#include <flowdarts/spaces/support/split.hpp>
#include <vector>

namespace flowdarts {

/// One batch to load. (split, epoch, sample id) key the randomness of its augmentation; `index` is its place in the
/// epoch.
struct BatchPlan {
  Split split = Split::train;
  std::int64_t epoch = 0;
  std::int64_t index = 0;
  std::vector<std::int64_t> ids;
  bool augment = true;  ///< false: the evaluation path
};

/// B samples ready for a network. `ids` are the plan's in their order, without the samples that were skipped as
/// corrupt.
struct Batch {
  Split split = Split::train;
  std::int64_t epoch = 0;
  std::int64_t index = 0;
  std::vector<std::int64_t> ids;     ///< [B]
  std::vector<float> images;         ///< [B, 3, height, width], normalised
  std::vector<std::int64_t> labels;  ///< [B]
  int height = 0, width = 0;
};

}  // namespace flowdarts
