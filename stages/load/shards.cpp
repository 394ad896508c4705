#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <flowdarts/spaces/support/error.hpp>
#include <flowdarts/stages/load/encoded_images.hpp>
#include <flowdarts/stages/load/file_descriptor.hpp>
#include <flowdarts/stages/load/fingerprint.hpp>
#include <flowdarts/stages/load/image_file.hpp>
#include <flowdarts/stages/load/image_lists.hpp>
#include <flowdarts/stages/load/read_file.hpp>
#include <flowdarts/stages/load/shard_index.hpp>
#include <flowdarts/stages/load/shards.hpp>
#include <mutex>
#include <system_error>

namespace flowdarts {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t max_open_shards = 64;

/// Reads images by number. Any number of threads may do so at once; the shards that were read from last stay open.
class ShardReader {
 public:
  explicit ShardReader(ShardIndex&& index) : index_(std::move(index)) {}

  /// The bytes of image i. Throws InputError for a shard that cannot be read or is not the one that was indexed.
  [[nodiscard]] std::vector<std::uint8_t> read(std::int64_t i) const {
    const std::shared_ptr<const FileDescriptor> file = open(shard_of(i));
    const std::uint64_t offset = index_.offsets[static_cast<std::size_t>(i)];
    std::vector<std::uint8_t> bytes(index_.lengths[static_cast<std::size_t>(i)]);
    for (std::size_t done = 0; done < bytes.size();) {
      const ssize_t got =
          ::pread(file->get(), bytes.data() + done, bytes.size() - done, static_cast<off_t>(offset + done));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) throw InputError(name_of(i) + ": cannot be read: " + std::generic_category().message(errno));
      if (got == 0) throw InputError(name_of(i) + ": the shard shrank while it was read");
      done += static_cast<std::size_t>(got);
    }
    return bytes;
  }

  [[nodiscard]] std::string name_of(std::int64_t i) const {
    return printable(index_.shards[shard_of(i)].file) + ": image at byte " +
           std::to_string(index_.offsets[static_cast<std::size_t>(i)]);
  }

 private:
  struct Open {
    std::size_t shard;
    std::shared_ptr<const FileDescriptor> file;
  };

  [[nodiscard]] std::size_t shard_of(std::int64_t i) const {
    return static_cast<std::size_t>(std::ranges::upper_bound(index_.begins, i) - index_.begins.begin()) - 1;
  }

  [[nodiscard]] std::shared_ptr<const FileDescriptor> open(std::size_t k) const {
    {
      const std::scoped_lock lock(mutex_);
      const auto found = std::ranges::find(open_, k, &Open::shard);
      if (found != open_.end()) {
        std::rotate(open_.begin(), found, found + 1);
        return open_.front().file;
      }
    }
    // Without the lock: opening may take long. Two threads may open the same shard, which harms nobody.
    auto file = std::make_shared<const FileDescriptor>(index_.shards[k].file);
    check(index_.shards[k], *file);
    const std::scoped_lock lock(mutex_);
    if (open_.size() == max_open_shards) open_.pop_back();
    open_.insert(open_.begin(), {k, file});
    return file;
  }

  static void check(const Shard& shard, const FileDescriptor& file) {
    struct stat status {};
    if (file.get() < 0 || ::fstat(file.get(), &status) != 0) {
      throw InputError(printable(shard.file) + ": cannot be read: " + std::generic_category().message(errno));
    }
    if (static_cast<std::uint64_t>(status.st_size) != shard.bytes ||
        std::int64_t{status.st_mtim.tv_sec} * 1'000'000'000 + status.st_mtim.tv_nsec != shard.modified) {
      throw InputError(printable(shard.file) + ": has changed since it was indexed, expected the same file");
    }
  }

  ShardIndex index_;
  mutable std::mutex mutex_;
  mutable std::vector<Open> open_;  // the one used last first
};

class ShardImages final : public Dataset {
 public:
  using Dataset::decode;
  using Dataset::Facts;

  ShardImages(Facts facts, std::unique_ptr<const ShardReader> reader)
      : Dataset(std::move(facts)), reader_(std::move(reader)) {}

  [[nodiscard]] std::vector<std::uint8_t> read(std::int64_t i) const override { return reader_->read(i); }

  void decode(std::int64_t i, std::span<const std::uint8_t> bytes, const ChooseRegion& choose,
              Image& out) const override {
    decode_image_of(geometry(), bytes, reader_->name_of(i), choose, out);
  }

 private:
  std::unique_ptr<const ShardReader> reader_;
};

Fingerprint fingerprint_of(const ShardIndex& index) {
  Fingerprint fingerprint;
  fingerprint.add("shards");
  for (const Shard& shard : index.shards) {
    fingerprint.add(shard.file.filename().native());
    fingerprint.add(shard.bytes);
  }
  for (const std::int64_t begin : index.begins) fingerprint.add(static_cast<std::uint64_t>(begin));
  for (std::size_t i = 0; i < index.offsets.size(); ++i) {
    fingerprint.add(index.offsets[i]);
    fingerprint.add((std::uint64_t{index.lengths[i]} << 32U) | static_cast<std::uint32_t>(index.labels[i]));
  }
  return fingerprint;
}

}  // namespace

std::shared_ptr<const Dataset> open_shards(const DatasetConfig& config) {
  if (config.part != Part::train) {
    throw InputError(printable(config.path) + ": shards have no test part, expected the path of the test images");
  }
  std::error_code ignored;
  const fs::path folder = fs::is_directory(config.path, ignored) ? config.path : config.path.parent_path();
  std::vector<std::string> class_names;
  if (fs::exists(folder / classes_list, ignored)) class_names = read_class_names(folder / classes_list);
  ShardIndex index = open_shard_index(config.path, static_cast<std::int64_t>(class_names.size()));
  if (!config.skip_corrupt && !index.damage.empty()) throw InputError(index.damage.front());
  if (index.labels.empty()) {
    throw InputError(printable(config.path) + ": found no image with a class, expected one at least");
  }
  if (class_names.empty()) {
    const std::int32_t last = std::ranges::max(index.labels);
    for (std::int32_t c = 0; c <= last; ++c) class_names.push_back(std::to_string(c));
  }

  Fingerprint fingerprint = fingerprint_of(index);
  for (const std::string& name : class_names) fingerprint.add(name);
  std::vector<std::int32_t> labels = std::move(index.labels);
  std::vector<std::string> skipped = std::move(index.damage);
  std::vector<std::int64_t> begins = index.begins;
  auto reader = std::make_unique<const ShardReader>(std::move(index));
  const ImageGeometry geometry = find_geometry(
      static_cast<std::int64_t>(labels.size()), config,
      [&](std::int64_t i, Image& out) { decode_image(reader->read(i), reader->name_of(i), whole_image, out); });
  fingerprint.add(static_cast<std::uint64_t>(geometry.size));
  return std::make_shared<ShardImages>(
      ShardImages::Facts{config.kind, std::move(class_names), std::move(labels), geometry, imagenet_normalisation,
                         fingerprint.value(), config.skip_corrupt, std::move(skipped), std::nullopt, std::move(begins)},
      std::move(reader));
}

}  // namespace flowdarts
