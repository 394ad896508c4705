#include <flowdarts/spaces/support/error.hpp>
#include <flowdarts/stages/load/batch_loader.hpp>

namespace flowdarts {

BatchLoader::BatchLoader(std::shared_ptr<const Dataset> dataset, const LoadOptions& options, std::uint64_t seed,
                         OnCorrupt on_corrupt)
    : dataset_(std::move(dataset)),
      augmentation_(dataset_->geometry(), dataset_->normalisation(), options),
      seed_(seed),
      on_corrupt_(std::move(on_corrupt)) {
  if (!on_corrupt_) return;
  for (const std::string& line : dataset_->skipped()) on_corrupt_(line);
}

Batch BatchLoader::load(const BatchPlan& plan) const {
  const int size = dataset_->geometry().size;
  const std::size_t image_floats = std::size_t{3} * static_cast<std::size_t>(size) * static_cast<std::size_t>(size);
  Batch batch{.split = plan.split, .epoch = plan.epoch, .index = plan.index, .height = size, .width = size};
  batch.ids.reserve(plan.ids.size());
  batch.labels.reserve(plan.ids.size());
  batch.images.resize(plan.ids.size() * image_floats);
  Image scratch;
  for (const std::int64_t id : plan.ids) {
    if (id < 0 || id >= dataset_->size()) {
      throw InputError("sample " + std::to_string(id) + " of data set " + dataset_->name() + ", expected 0 to " +
                       std::to_string(dataset_->size() - 1));
    }
    const std::span out = std::span(batch.images).subspan(batch.ids.size() * image_floats, image_floats);
    try {
      if (plan.augment) {
        const CounterRng rng(seed_, Stream::augmentation, static_cast<std::uint32_t>(plan.split),
                             static_cast<std::uint32_t>(plan.epoch), static_cast<std::uint64_t>(id));
        augmentation_.train(*dataset_, id, rng, scratch, out);
      } else {
        augmentation_.evaluate(*dataset_, id, scratch, out);
      }
    } catch (const InputError& error) {
      if (!dataset_->skip_corrupt()) throw;
      report(id, error.what());
      continue;
    }
    batch.ids.push_back(id);
    batch.labels.push_back(dataset_->label(id));
  }
  batch.images.resize(batch.ids.size() * image_floats);
  return batch;
}

std::int64_t BatchLoader::skipped() const {
  const std::scoped_lock lock(mutex_);
  return static_cast<std::int64_t>(skipped_.size() + dataset_->skipped().size());
}

void BatchLoader::report(std::int64_t sample, const std::string& line) const {
  const std::scoped_lock lock(mutex_);
  if (skipped_.insert(sample).second && on_corrupt_) on_corrupt_(line);
}

}  // namespace flowdarts
