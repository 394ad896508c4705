#include <algorithm>
#include <cstring>
#include <flowdarts/spaces/support/error.hpp>
#include <flowdarts/stages/load/cifar.hpp>
#include <flowdarts/stages/load/fingerprint.hpp>
#include <flowdarts/stages/load/memory_dataset.hpp>
#include <flowdarts/stages/load/read_file.hpp>

namespace flowdarts {
namespace {

constexpr int side = 32;
constexpr std::size_t plane = side * side;
constexpr std::size_t pixel_bytes = 3 * plane;
constexpr std::uint64_t max_file_bytes = std::uint64_t{1} << 30U;

// The constants of the DARTS family: the DARTS repository's for CIFAR-10, Beta-DARTS' and DARTS-PT's for CIFAR-100.
constexpr Normalisation cifar10_normalisation{{0.49139968F, 0.48215827F, 0.44653124F},
                                              {0.24703233F, 0.24348505F, 0.26158768F}};
constexpr Normalisation cifar100_normalisation{{0.5071F, 0.4865F, 0.4409F}, {0.2673F, 0.2564F, 0.2762F}};

const std::vector<std::string>& cifar10_names() {
  static const std::vector<std::string> names{"airplane", "automobile", "bird",  "cat",  "deer",
                                              "dog",      "frog",       "horse", "ship", "truck"};
  return names;
}

const std::vector<std::string>& cifar100_names() {
  static const std::vector<std::string> names{
      "apple",      "aquarium_fish", "baby",         "bear",       "beaver",      "bed",         "bee",
      "beetle",     "bicycle",       "bottle",       "bowl",       "boy",         "bridge",      "bus",
      "butterfly",  "camel",         "can",          "castle",     "caterpillar", "cattle",      "chair",
      "chimpanzee", "clock",         "cloud",        "cockroach",  "couch",       "crab",        "crocodile",
      "cup",        "dinosaur",      "dolphin",      "elephant",   "flatfish",    "forest",      "fox",
      "girl",       "hamster",       "house",        "kangaroo",   "keyboard",    "lamp",        "lawn_mower",
      "leopard",    "lion",          "lizard",       "lobster",    "man",         "maple_tree",  "motorcycle",
      "mountain",   "mouse",         "mushroom",     "oak_tree",   "orange",      "orchid",      "otter",
      "palm_tree",  "pear",          "pickup_truck", "pine_tree",  "plain",       "plate",       "poppy",
      "porcupine",  "possum",        "rabbit",       "raccoon",    "ray",         "road",        "rocket",
      "rose",       "sea",           "seal",         "shark",      "shrew",       "skunk",       "skyscraper",
      "snail",      "snake",         "spider",       "squirrel",   "streetcar",   "sunflower",   "sweet_pepper",
      "table",      "tank",          "telephone",    "television", "tiger",       "tractor",     "train",
      "trout",      "tulip",         "turtle",       "wardrobe",   "whale",       "willow_tree", "wolf",
      "woman",      "worm"};
  return names;
}

void copy_pixels(const std::uint8_t* stored, Image& out) {
  std::memcpy(out.pixels.data(), stored, pixel_bytes);
}

std::shared_ptr<const Dataset> open_cifar(const DatasetConfig& config, const std::vector<std::string>& files,
                                          const CifarFormat& format, const std::vector<std::string>& class_names,
                                          const Normalisation& normalisation) {
  CifarRecords records;
  std::size_t first_size = 0;
  for (const std::string& file : files) {
    const std::filesystem::path path = config.path / file;
    const std::vector<std::uint8_t> bytes = read_file(path, max_file_bytes);
    if (first_size == 0) first_size = bytes.size();
    if (bytes.size() != first_size && !config.skip_corrupt) {
      throw InputError(printable(path) + ": holds " + std::to_string(bytes.size()) + " bytes, expected " +
                       std::to_string(first_size) + " as " + files.front() + " does");
    }
    parse_cifar(bytes, printable(path), format, config.skip_corrupt, records);
  }
  if (records.labels.empty()) throw InputError(printable(config.path) + ": no usable record in " + files.front());

  Fingerprint fingerprint;
  fingerprint.add(config.kind);
  fingerprint.add(std::span(reinterpret_cast<const std::uint8_t*>(records.labels.data()), records.labels.size() * 4));
  fingerprint.add(records.pixels);
  return std::make_shared<MemoryDataset>(MemoryDataset::Facts{config.kind,
                                                              class_names,
                                                              std::move(records.labels),
                                                              {side, true},
                                                              normalisation,
                                                              fingerprint.value(),
                                                              config.skip_corrupt,
                                                              std::move(records.skipped)},
                                         std::move(records.pixels), pixel_bytes, copy_pixels);
}

}  // namespace

void parse_cifar(std::span<const std::uint8_t> bytes, const std::string& name, const CifarFormat& format,
                 bool skip_corrupt, CifarRecords& records) {
  const auto broken = [&](const std::string& reason) {
    if (!skip_corrupt) throw InputError(name + ": " + reason);
    records.skipped.push_back(name + ": " + reason);
  };
  const std::size_t record = static_cast<std::size_t>(format.label_bytes) + pixel_bytes;
  if (bytes.empty() || bytes.size() % record != 0) {
    broken("holds " + std::to_string(bytes.size()) + " bytes, expected a positive multiple of " +
           std::to_string(record) + ": truncated or another format");
  }
  const std::size_t count = bytes.size() / record;
  records.labels.reserve(records.labels.size() + count);
  records.pixels.reserve(records.pixels.size() + count * pixel_bytes);
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint8_t* stored = bytes.data() + i * record + format.label_bytes;
    const int label = stored[-1];
    if (label >= format.classes) {
      broken("record " + std::to_string(i) + ": label " + std::to_string(label) + ", expected 0 to " +
             std::to_string(format.classes - 1));
      continue;
    }
    records.labels.push_back(label);
    for (std::size_t p = 0; p < plane; ++p) {
      records.pixels.insert(records.pixels.end(), {stored[p], stored[p + plane], stored[p + 2 * plane]});
    }
  }
}

std::shared_ptr<const Dataset> open_cifar10(const DatasetConfig& config) {
  const std::vector<std::string> files =
      config.part == Part::train ? std::vector<std::string>{"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin",
                                                            "data_batch_4.bin", "data_batch_5.bin"}
                                 : std::vector<std::string>{"test_batch.bin"};
  return open_cifar(config, files, cifar10_format, cifar10_names(), cifar10_normalisation);
}

std::shared_ptr<const Dataset> open_cifar100(const DatasetConfig& config) {
  return open_cifar(config, {config.part == Part::train ? "train.bin" : "test.bin"}, cifar100_format, cifar100_names(),
                    cifar100_normalisation);
}

}  // namespace flowdarts
