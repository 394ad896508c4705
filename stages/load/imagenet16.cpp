#include <cstring>
#include <flowdarts/spaces/support/error.hpp>
#include <flowdarts/stages/load/fingerprint.hpp>
#include <flowdarts/stages/load/imagenet16.hpp>
#include <flowdarts/stages/load/memory_dataset.hpp>
#include <flowdarts/stages/load/pickle.hpp>
#include <flowdarts/stages/load/read_file.hpp>

namespace flowdarts {
namespace {

constexpr int side = 16;
constexpr std::size_t plane = side * side;
constexpr std::size_t pixel_bytes = 3 * plane;
constexpr std::int64_t kept_classes = 120, all_classes = 1000;
constexpr std::uint64_t max_file_bytes = std::uint64_t{1} << 31U;

constexpr Normalisation normalisation{{122.68F / 255, 116.66F / 255, 104.01F / 255},
                                      {63.22F / 255, 61.26F / 255, 65.09F / 255}};

struct Records {
  std::vector<std::uint8_t> pixels;  // interleaved
  std::vector<std::int32_t> labels;
  std::vector<std::string> skipped;
};

/// `labels` as a list of numbers or an array of 8-byte integers.
std::vector<std::int64_t> labels_of(const pickle::Value* value, const std::string& name) {
  std::vector<std::int64_t> labels;
  if (value != nullptr && value->list() != nullptr) {
    for (const pickle::Value& label : *value->list()) {
      if (label.integer() == nullptr) throw InputError(name + ": labels: found one that is no whole number");
      labels.push_back(*label.integer());
    }
    return labels;
  }
  const pickle::Array* array = value != nullptr ? value->array() : nullptr;
  if (array == nullptr || array->dtype != "i8" || array->shape.size() != 1 ||
      array->bytes.size() != 8 * static_cast<std::size_t>(array->shape[0])) {
    throw InputError(name + ": found no list of labels, expected a batch file of ImageNet16");
  }
  labels.resize(static_cast<std::size_t>(array->shape[0]));
  if (!labels.empty()) std::memcpy(labels.data(), array->bytes.data(), array->bytes.size());
  return labels;
}

void read_batch(const std::filesystem::path& path, bool skip_corrupt, Records& records) {
  const std::string name = printable(path);
  const std::vector<std::uint8_t> bytes = read_file(path, max_file_bytes);
  const pickle::Value batch = pickle::parse(bytes, name);
  const pickle::Value* data = batch.dict() != nullptr ? batch.dict()->find("data") : nullptr;
  const pickle::Array* images = data != nullptr ? data->array() : nullptr;
  if (images == nullptr || images->dtype != "u1" || images->fortran_order || images->shape.size() != 2 ||
      images->shape[1] != static_cast<std::int64_t>(pixel_bytes) ||
      images->bytes.size() != static_cast<std::size_t>(images->shape[0]) * pixel_bytes) {
    throw InputError(name + ": found no array data [N, 768] of bytes, expected a batch file of ImageNet16");
  }
  const std::vector<std::int64_t> labels = labels_of(batch.dict()->find("labels"), name);
  if (static_cast<std::int64_t>(labels.size()) != images->shape[0]) {
    throw InputError(name + ": found " + std::to_string(images->shape[0]) + " images and " +
                     std::to_string(labels.size()) + " labels, expected as many");
  }
  for (std::size_t i = 0; i < labels.size(); ++i) {
    if (labels[i] < 1 || labels[i] > all_classes) {
      const std::string line = name + ": image " + std::to_string(i) + ": label " + std::to_string(labels[i]) +
                               ", expected 1 to " + std::to_string(all_classes);
      if (!skip_corrupt) throw InputError(line);
      records.skipped.push_back(line);
      continue;
    }
    if (labels[i] > kept_classes) continue;
    records.labels.push_back(static_cast<std::int32_t>(labels[i] - 1));
    const std::uint8_t* stored = images->bytes.data() + i * pixel_bytes;
    for (std::size_t p = 0; p < plane; ++p) {
      records.pixels.insert(records.pixels.end(), {stored[p], stored[p + plane], stored[p + 2 * plane]});
    }
  }
}

void copy_pixels(const std::uint8_t* stored, Image& out) {
  std::memcpy(out.pixels.data(), stored, pixel_bytes);
}

}  // namespace

std::shared_ptr<const Dataset> open_imagenet16(const DatasetConfig& config) {
  Records records;
  if (config.part == Part::train) {
    for (int batch = 1; batch <= 10; ++batch) {
      read_batch(config.path / ("train_data_batch_" + std::to_string(batch)), config.skip_corrupt, records);
    }
  } else {
    read_batch(config.path / "val_data", config.skip_corrupt, records);
  }
  if (records.labels.empty()) {
    throw InputError(printable(config.path) + ": found no image of the labels 1 to " + std::to_string(kept_classes));
  }
  std::vector<std::string> names;
  for (std::int64_t label = 1; label <= kept_classes; ++label) names.push_back(std::to_string(label));

  Fingerprint fingerprint;
  fingerprint.add(config.kind);
  fingerprint.add(std::span(reinterpret_cast<const std::uint8_t*>(records.labels.data()), records.labels.size() * 4));
  fingerprint.add(records.pixels);
  return std::make_shared<MemoryDataset>(MemoryDataset::Facts{.name = config.kind,
                                                              .class_names = std::move(names),
                                                              .labels = std::move(records.labels),
                                                              .geometry = {side, true},
                                                              .normalisation = normalisation,
                                                              .fingerprint = fingerprint.value(),
                                                              .skip_corrupt = config.skip_corrupt,
                                                              .skipped = std::move(records.skipped),
                                                              .listed_split = {}},
                                         std::move(records.pixels), pixel_bytes, copy_pixels);
}

}  // namespace flowdarts
