#pragma once
// The load stage: from planned sample ids to a batch of normalised images.

#include <flowdarts/stages/load/augment.hpp>
#include <flowdarts/stages/load/batch.hpp>
#include <flowdarts/stages/load/dataset.hpp>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_set>

namespace flowdarts {

using LoadOptions = AugmentOptions;

/// Called with one line that names a file and why it was skipped; never by two threads at once.
using OnCorrupt = std::function<void(const std::string& line)>;

/// Reads, decodes, augments and normalises batches. All calls may come from any number of threads at once; a plan
/// always gives the same bits.
class BatchLoader {
 public:
  /// With dataset->skip_corrupt(), what the data set left out when it was opened is reported at once. `on_corrupt` may
  /// be empty. The arrays of batches come from `memory`, which is asked from any thread and must outlive them. Throws
  /// InputError if an option is out of range for the data set's images. Of the two forms the same random choices are
  /// made; how far they agree: Augmentation::train_pixels().
  BatchLoader(std::shared_ptr<const Dataset> dataset, const LoadOptions& options, std::uint64_t seed,
              OnCorrupt on_corrupt, std::pmr::memory_resource* memory = std::pmr::new_delete_resource(),
              BatchForm form = BatchForm::images);

  /// Whether decode() needs what read() gives: not for a data set in memory.
  [[nodiscard]] bool reads() const { return !dataset_->in_memory(); }

  /// Waits for the disk and computes nothing. A sample that cannot be read says so in the result. Throws InputError for
  /// an id that the data set does not have.
  [[nodiscard]] EncodedSample read(std::int64_t sample) const;
  [[nodiscard]] EncodedBatch read(const BatchPlan& plan) const;

  /// `encoded` is read(plan), or nothing where reads() is false. A sample that could not be read or is damaged throws
  /// InputError or, with dataset->skip_corrupt(), is left out of the batch, which may then be empty.
  [[nodiscard]] Batch decode(const BatchPlan& plan, const EncodedBatch& encoded) const;

  /// Both, for those who need not overlap them. Throws what they throw.
  [[nodiscard]] Batch load(const BatchPlan& plan) const { return decode(plan, read(plan)); }

  /// The same batch as crops instead of pixels, for a data set that lives on a device (ResidentDataset). Images must be
  /// of fixed size.
  [[nodiscard]] Batch load_crops(const BatchPlan& plan) const;

  [[nodiscard]] const Augmentation& augmentation() const { return augmentation_; }

  /// How many different samples were skipped so far, those left out at opening included.
  [[nodiscard]] std::int64_t skipped() const;

 private:
  void check(std::int64_t sample) const;
  [[nodiscard]] CounterRng rng(const BatchPlan& plan, std::int64_t sample) const;
  void report(std::int64_t sample, const std::string& line) const;

  std::shared_ptr<const Dataset> dataset_;
  Augmentation augmentation_;
  std::uint64_t seed_;
  OnCorrupt on_corrupt_;
  std::pmr::memory_resource* memory_;
  BatchForm form_;
  mutable std::mutex mutex_;  // guards skipped_ and calls of on_corrupt_
  mutable std::unordered_set<std::int64_t> skipped_;
};

}  // namespace flowdarts
