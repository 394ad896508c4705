#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <flowdarts/pipeline/run_directory/atomic_file.hpp>
#include <flowdarts/spaces/support/error.hpp>
#include <flowdarts/spaces/support/quote.hpp>
#include <flowdarts/stages/load/image_file.hpp>
#include <flowdarts/stages/load/image_folder.hpp>
#include <flowdarts/stages/load/image_lists.hpp>
#include <flowdarts/stages/load/read_file.hpp>
#include <flowdarts/stages/load/sampler.hpp>
#include <iostream>
#include <memory>
#include <numeric>
#include <span>
#include <system_error>

#include "commands.hpp"

namespace flowdarts::app {

namespace fs = std::filesystem;

namespace {

/// Digits filled up with zeros in front.
std::string numbered(std::int64_t number, std::size_t width) {
  const std::string digits = std::to_string(number);
  return std::string(width - std::min(width, digits.size()), '0') + digits;
}

/// A tar file that is written under a temporary name.
class TarFile {
 public:
  /// Throws RunError.
  explicit TarFile(fs::path file) : file_(std::move(file)), temporary_(file_.native() + ".tmp") {
    fd_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (fd_ < 0) fail(std::generic_category().message(errno));
    archive_.reset(archive_write_new());
    entry_.reset(archive_entry_new());
    if (!archive_ || !entry_) throw std::bad_alloc();
    archive_write_set_format_ustar(archive_.get());
    check(archive_write_open_fd(archive_.get(), fd_));
  }
  TarFile(const TarFile&) = delete;
  TarFile& operator=(const TarFile&) = delete;
  ~TarFile() {
    if (fd_ >= 0) ::close(fd_);
    ::unlink(temporary_.c_str());  // is gone already where publish() was called
  }

  /// Throws RunError.
  void add(const std::string& name, std::span<const std::byte> bytes) {
    archive_entry_clear(entry_.get());
    archive_entry_set_pathname(entry_.get(), name.c_str());
    archive_entry_set_filetype(entry_.get(), AE_IFREG);
    archive_entry_set_perm(entry_.get(), 0644);
    archive_entry_set_size(entry_.get(), static_cast<la_int64_t>(bytes.size()));
    check(archive_write_header(archive_.get(), entry_.get()));
    if (archive_write_data(archive_.get(), bytes.data(), bytes.size()) < 0) check(ARCHIVE_FATAL);
  }

  /// All is on the disk after this, under the temporary name. Throws RunError.
  void finish() {
    check(archive_write_close(archive_.get()));
    archive_.reset();
    if (::fsync(fd_) != 0) fail(std::generic_category().message(errno));
    if (::close(std::exchange(fd_, -1)) != 0) fail(std::generic_category().message(errno));
  }

  /// Under its own name from now on. Throws RunError.
  void publish() {
    if (std::rename(temporary_.c_str(), file_.c_str()) != 0) fail(std::generic_category().message(errno));
  }

 private:
  [[noreturn]] void fail(const std::string& reason) const {
    throw RunError("cannot write " + printable(file_) + ": " + reason);
  }
  void check(int result) const {
    if (result == ARCHIVE_OK) return;
    const char* reason = archive_error_string(archive_.get());
    fail(reason != nullptr ? reason : "unknown error");
  }

  template <auto free>
  struct Free {
    template <class T>
    void operator()(T* p) const {
      free(p);
    }
  };

  fs::path file_, temporary_;
  int fd_ = -1;
  std::unique_ptr<archive_entry, Free<archive_entry_free>> entry_;
  std::unique_ptr<archive, Free<archive_write_free>> archive_;
};

/// The extension of its member: in small letters.
std::string extension_of(std::string_view path) {
  std::string extension = fs::path(path).extension().string();
  std::ranges::transform(extension, extension.begin(), [](unsigned char c) { return std::tolower(c); });
  return extension;
}

FolderListing images_of(const DataShards& command) {
  if (!command.lists) return list_image_folder(command.data, command.skip_corrupt);
  ImageLists lists = read_image_lists(*command.lists);
  FolderListing listing;
  listing.class_names = std::move(lists.classes);
  listing.images = std::move(lists.images);
  listing.labels = std::move(lists.labels);
  return listing;
}

/// Throws InputError where the folder holds shards of this name or classes.
void check_out(const fs::path& folder, const std::string& name) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) throw InputError("--out: " + printable(folder) + ": cannot be made: " + error.message());
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    const std::string found = entry.path().filename().string();
    if (found == classes_list || (found.starts_with(name + "-") && found.ends_with(".tar"))) {
      throw InputError("--out: found " + printable(entry.path()) + " there already, expected a folder without shards");
    }
  }
}

}  // namespace

void DataShards::declare(CLI::App& command) {
  command.add_option("folder", data, "The images: a folder of class folders")->required();
  command.add_option("--out", out, "Folder for the shards and classes.txt; must not hold such yet")->required();
  command.add_option("--name", name, "What the shards are called: NAME-000000.tar, ...")->capture_default_str();
  command.add_option("--lists", lists, "Only the images of lists by `flowdarts data split`, of T and of V");
  auto* count = command.add_option("--per-shard", per_shard, "Images of a shard; not with --shard-mib");
  command.add_option("--shard-mib", shard_mib, "Size of a shard, MiB; one larger image makes one larger shard")
      ->capture_default_str()
      ->excludes(count);
  command.add_option("--seed", seed, "Key of the order")->capture_default_str();
  command.add_flag("--skip-corrupt", skip_corrupt, "Leave out entries that cannot be read instead of ending");
}

void DataShards::run() const {
  if (per_shard && *per_shard < 1) {
    throw InputError("--per-shard: found " + std::to_string(*per_shard) + ", expected at least 1");
  }
  if (shard_mib < 1) throw InputError("--shard-mib: found " + std::to_string(shard_mib) + ", expected at least 1");
  if (name.empty() || name.find_first_of("/{}") != std::string::npos || name.starts_with('.')) {
    throw InputError("--name: found " + quote(name) + ", expected a file name without braces");
  }
  FolderListing listing = images_of(*this);
  for (const std::string& class_name : listing.class_names) {
    if (class_name.find_first_of("\r\n") != std::string::npos) {
      throw InputError(quote(class_name, 200) + ": a name with a line break cannot stand in " +
                       std::string(classes_list));
    }
  }
  const fs::path folder(out);
  check_out(folder, name);

  std::vector<std::int64_t> ids(listing.images.size());
  std::iota(ids.begin(), ids.end(), 0);
  std::vector<std::unique_ptr<TarFile>> shards;
  std::int64_t written = 0, in_shard = 0;
  std::uint64_t bytes_in_shard = 0;
  for (const std::int64_t id : epoch_order(ids, seed, Split::train, 0)) {
    const std::string_view image = listing.images[static_cast<std::size_t>(id)];
    std::vector<std::uint8_t> bytes;
    try {
      bytes = read_file(fs::path(data) / image, max_image_file_bytes);
    } catch (const InputError& error) {
      if (!skip_corrupt) throw;
      listing.skipped.emplace_back(error.what());
      continue;
    }
    const bool full = per_shard ? in_shard == *per_shard
                                : bytes_in_shard + bytes.size() > static_cast<std::uint64_t>(shard_mib) << 20U;
    if (shards.empty() || (full && in_shard > 0)) {
      if (!shards.empty()) shards.back()->finish();
      const std::string file = name + "-" + numbered(static_cast<std::int64_t>(shards.size()), 6) + ".tar";
      shards.push_back(std::make_unique<TarFile>(folder / file));
      in_shard = 0;
      bytes_in_shard = 0;
    }
    const std::string key = numbered(written, 9);
    const std::string label = std::to_string(listing.labels[static_cast<std::size_t>(id)]);
    shards.back()->add(key + extension_of(image), std::as_bytes(std::span(bytes)));
    shards.back()->add(key + ".cls", std::as_bytes(std::span(label)));
    ++written;
    ++in_shard;
    bytes_in_shard += bytes.size();
  }
  if (shards.empty()) throw InputError(printable(data) + ": found no image that can be read");
  shards.back()->finish();
  // All at once, so that a folder never seems to hold a set of which only a part is there.
  for (const auto& shard : shards) shard->publish();
  std::string classes;
  for (const std::string& class_name : listing.class_names) classes += class_name + "\n";
  write_file_atomically(folder / classes_list, classes);

  for (const std::string& line : listing.skipped) std::cerr << "flowdarts: left out " << line << "\n";
  const std::string last = numbered(static_cast<std::int64_t>(shards.size()) - 1, 6);
  std::cout << listing.class_names.size() << " classes, " << written << " images in " << shards.size() << " shards\n"
            << "search them with --dataset shards --data '" << printable(folder / name) << "-{000000.." << last
            << "}.tar'\n";
}

}  // namespace flowdarts::app
