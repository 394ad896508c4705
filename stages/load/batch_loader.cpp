#include <flowdarts/spaces/support/error.hpp>
#include <flowdarts/stages/load/batch_loader.hpp>
#include <stdexcept>

namespace flowdarts {

BatchLoader::BatchLoader(std::shared_ptr<const Dataset> dataset, const LoadOptions& options, std::uint64_t seed,
                         OnCorrupt on_corrupt, std::pmr::memory_resource* memory, BatchForm form)
    : dataset_(std::move(dataset)),
      augmentation_(dataset_->geometry(), dataset_->normalisation(), options),
      seed_(seed),
      on_corrupt_(std::move(on_corrupt)),
      memory_(memory),
      form_(form) {
  if (!on_corrupt_) return;
  for (const std::string& line : dataset_->skipped()) on_corrupt_(line);
}

EncodedSample BatchLoader::read(std::int64_t sample) const {
  check(sample);
  EncodedSample encoded;
  try {
    encoded.bytes = dataset_->read(sample);
  } catch (const InputError& error) {
    encoded.failure = error.what();
  }
  return encoded;
}

EncodedBatch BatchLoader::read(const BatchPlan& plan) const {
  EncodedBatch encoded;
  if (!reads()) return encoded;
  encoded.reserve(plan.ids.size());
  for (const std::int64_t id : plan.ids) encoded.push_back(read(id));
  return encoded;
}

Batch BatchLoader::decode(const BatchPlan& plan, const EncodedBatch& encoded) const {
  if (reads() && encoded.size() != plan.ids.size()) {
    throw std::invalid_argument("decode: the read samples of the same plan expected");
  }
  const int size = dataset_->geometry().size;
  const std::size_t image_values = std::size_t{3} * static_cast<std::size_t>(size) * static_cast<std::size_t>(size);
  const std::size_t values = plan.ids.size() * image_values;
  const bool as_pixels = form_ == BatchForm::pixels;
  Batch batch{.split = plan.split,
              .epoch = plan.epoch,
              .index = plan.index,
              .images = BatchArray<float>(as_pixels ? 0 : values, memory_),
              .pixels = BatchArray<std::uint8_t>(as_pixels ? values : 0, memory_),
              .crops = BatchArray<Crop>(memory_),
              .labels = BatchArray<std::int64_t>(memory_),
              .height = size,
              .width = size,
              .normalisation = augmentation_.normalisation(),
              .share = plan.share};
  batch.ids.reserve(plan.ids.size());
  batch.labels.reserve(plan.ids.size());
  if (as_pixels) batch.crops.reserve(plan.ids.size());
  Image scratch;
  const EncodedSample nothing;
  for (std::size_t i = 0; i < plan.ids.size(); ++i) {
    const std::int64_t id = plan.ids[i];
    check(id);
    const std::size_t begin = batch.ids.size() * image_values;
    try {
      const auto& [bytes, failure] = reads() ? encoded[i] : nothing;
      if (!failure.empty()) throw InputError(failure);
      if (as_pixels) {
        const std::span out = std::span(batch.pixels).subspan(begin, image_values);
        Crop crop;
        if (plan.augment) {
          crop = augmentation_.train_pixels(*dataset_, id, bytes, rng(plan, id), scratch, out);
        } else {
          augmentation_.evaluate_pixels(*dataset_, id, bytes, scratch, out);
        }
        crop.sample = static_cast<std::int64_t>(batch.ids.size());
        batch.crops.push_back(crop);
      } else {
        const std::span out = std::span(batch.images).subspan(begin, image_values);
        if (plan.augment) {
          augmentation_.train(*dataset_, id, bytes, rng(plan, id), scratch, out);
        } else {
          augmentation_.evaluate(*dataset_, id, bytes, scratch, out);
        }
      }
    } catch (const InputError& error) {
      if (!dataset_->skip_corrupt()) throw;
      report(id, error.what());
      continue;
    }
    batch.ids.push_back(id);
    batch.labels.push_back(dataset_->label(id));
  }
  batch.images.resize(as_pixels ? 0 : batch.ids.size() * image_values);
  batch.pixels.resize(as_pixels ? batch.ids.size() * image_values : 0);
  return batch;
}

Batch BatchLoader::load_crops(const BatchPlan& plan) const {
  if (!dataset_->geometry().fixed) throw std::invalid_argument("load_crops: images of a fixed size expected");
  const int size = dataset_->geometry().size;
  Batch batch{.split = plan.split,
              .epoch = plan.epoch,
              .index = plan.index,
              .ids = plan.ids,
              .crops = BatchArray<Crop>(memory_),
              .labels = BatchArray<std::int64_t>(memory_),
              .height = size,
              .width = size,
              .normalisation = augmentation_.normalisation(),
              .share = plan.share};
  batch.crops.reserve(plan.ids.size());
  batch.labels.reserve(plan.ids.size());
  for (const std::int64_t id : plan.ids) {
    check(id);
    batch.crops.push_back(plan.augment ? augmentation_.choose_crop(id, rng(plan, id)) : Crop{.sample = id});
    batch.labels.push_back(dataset_->label(id));
  }
  return batch;
}

void BatchLoader::check(std::int64_t sample) const {
  if (sample < 0 || sample >= dataset_->size()) {
    throw InputError("sample " + std::to_string(sample) + " of data set " + dataset_->name() + ", expected 0 to " +
                     std::to_string(dataset_->size() - 1));
  }
}

CounterRng BatchLoader::rng(const BatchPlan& plan, std::int64_t sample) const {
  return CounterRng(seed_, Stream::augmentation, static_cast<std::uint32_t>(plan.split),
                    static_cast<std::uint32_t>(plan.epoch), static_cast<std::uint64_t>(sample));
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
