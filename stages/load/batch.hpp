#pragma once
// What a loader is asked for and what it gives.

#include <cstdint>
#include <flowdarts/spaces/support/split.hpp>
#include <flowdarts/stages/load/batch_memory.hpp>
#include <flowdarts/stages/load/crop.hpp>
#include <string>
#include <vector>

namespace flowdarts {

/// The part of a batch that a process has, where several share it.
struct BatchShare {
  double part = 1;          ///< of the whole batch's gradient; those of all processes add up to 1
  bool everywhere = false;  ///< each process has the whole batch: there are fewer images than processes
};

/// One batch to load. (split, epoch, sample id) key the randomness of its augmentation; `index` is its place in the
/// epoch.
struct BatchPlan {
  Split split = Split::train;
  std::int64_t epoch = 0;
  std::int64_t index = 0;
  std::vector<std::int64_t> ids = {};
  bool augment = true;  ///< false: the evaluation path
  BatchShare share = {};
};

/// What Dataset::read() gave of one sample, or the line that says why it gave nothing.
struct EncodedSample {
  std::vector<std::uint8_t> bytes = {};
  std::string failure = {};  ///< empty: none
};

/// A sample for each id of a plan, in their order.
using EncodedBatch = std::vector<EncodedSample>;

/// How a loader makes batches.
enum class BatchForm : std::uint8_t {
  images,  ///< float32, ready for a network
  pixels   ///< uint8 and what a device still does with them: a quarter of the bytes, and less work for the CPU
};

/// B samples: images ready for a network; or pixels and crops, or crops alone of images that live on a device, of which
/// augmented_pixel() makes them there. `ids` are the plan's in their order, without the samples that were skipped as
/// corrupt.
struct Batch {
  Split split = Split::train;
  std::int64_t epoch = 0;
  std::int64_t index = 0;
  std::vector<std::int64_t> ids = {};    ///< [B]
  BatchArray<float> images = {};         ///< [B, 3, height, width], normalised; or empty
  BatchArray<std::uint8_t> pixels = {};  ///< [B, height, width, 3]; or empty
  BatchArray<Crop> crops = {};           ///< [B], of the pixels; or of the data set's images; or empty
  BatchArray<std::int64_t> labels = {};  ///< [B]
  int height = 0, width = 0;
  Normalisation normalisation = {};  ///< of the pixels
  BatchShare share = {};
};

}  // namespace flowdarts
