#include <archive.h>
#include <archive_entry.h>
#include <locale.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cctype>
#include <cerrno>
#include <charconv>
#include <exception>
#include <flowdarts/spaces/support/error.hpp>
#include <flowdarts/spaces/support/quote.hpp>
#include <flowdarts/stages/load/file_descriptor.hpp>
#include <flowdarts/stages/load/image_file.hpp>
#include <flowdarts/stages/load/name_list.hpp>
#include <flowdarts/stages/load/read_file.hpp>
#include <flowdarts/stages/load/shard_index.hpp>
#include <memory>
#include <optional>
#include <system_error>
#include <thread>

namespace flowdarts {
namespace {

namespace fs = std::filesystem;

// What is between two headers is skipped by seeking, in multiples of this.
constexpr std::size_t read_bytes = 4096;
constexpr std::int64_t tar_block = 512;
constexpr std::int64_t max_label_bytes = 32;
constexpr std::size_t max_threads = 8;  // that wait for a disk more than they compute

// Names in pax headers are UTF-8, which libarchive keeps as it is only in such a locale.
class Utf8Locale {
 public:
  Utf8Locale() : utf8_(newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr)), before_(uselocale(utf8_)) {}
  ~Utf8Locale() {
    uselocale(before_);
    if (utf8_ != nullptr) freelocale(utf8_);
  }
  Utf8Locale(const Utf8Locale&) = delete;
  Utf8Locale& operator=(const Utf8Locale&) = delete;

 private:
  locale_t utf8_, before_;
};

struct Scan {
  std::vector<std::uint64_t> offsets;
  std::vector<std::uint32_t> lengths;
  std::vector<std::int32_t> labels;
  std::vector<std::string> damage;
};

class ShardScanner {
 public:
  ShardScanner(const Shard& shard, std::int64_t classes)
      : shard_(shard), classes_(classes), fd_(shard.file), archive_(archive_read_new(), &archive_read_free) {
    if (fd_.get() < 0) refuse("cannot be read: " + std::generic_category().message(errno));
    if (!archive_) throw std::bad_alloc();
    archive_read_support_format_tar(archive_.get());
    if (archive_read_open_fd(archive_.get(), fd_.get(), read_bytes) != ARCHIVE_OK) refuse_format();
  }

  Scan read() {
    bool whole = true;
    for (std::int64_t members = 0;; ++members) {
      archive_entry* entry = nullptr;
      const int result = archive_read_next_header(archive_.get(), &entry);
      if (result == ARCHIVE_EOF) break;
      if (result != ARCHIVE_OK && result != ARCHIVE_WARN) {
        if (members == 0) refuse_format();
        broken("damaged behind " + std::to_string(members) + " members, the rest is left out: " + reason());
        whole = false;
        break;
      }
      whole = read_member(entry);
      if (!whole) break;
    }
    // A shard that was cut off between two members shows it by this alone.
    if (whole && position() <= end_of_members_) {
      broken("ends without the mark of a tar file's end, expected a whole one");
      whole = false;
    }
    if (!whole && !(sample_.image && sample_.label)) sample_.broken = true;  // said already
    finish_sample();
    drop_repeated();
    return std::move(scan_);
  }

 private:
  struct Extent {
    std::uint64_t offset;
    std::uint32_t length;
  };
  struct Sample {
    std::string key;
    std::optional<Extent> image;
    std::optional<std::int32_t> label;
    bool broken = false;
  };

  /// False where the shard ends inside the member.
  bool read_member(archive_entry* entry) {
    const std::int64_t offset = position(), size = archive_entry_size(entry);
    const char* text = archive_entry_pathname(entry);
    const std::string name = text != nullptr ? text : "";
    const std::size_t base = name.rfind('/') + 1;  // 0 where there is none
    const std::size_t dot = name.find('.', base);
    const std::string key = name.substr(0, dot);
    const bool sparse = archive_entry_sparse_count(entry) > 0;
    const bool regular = archive_entry_filetype(entry) == AE_IFREG && archive_entry_hardlink(entry) == nullptr;
    if (!sparse && regular) {
      const auto bytes = static_cast<std::int64_t>(shard_.bytes);
      if (size < 0 || offset > bytes || size > bytes - offset) {
        broken(name, "is cut off: found " + std::to_string(std::max<std::int64_t>(bytes - offset, 0)) +
                         " bytes, expected " + std::to_string(size));
        return false;
      }
      end_of_members_ = offset + (size + tar_block - 1) / tar_block * tar_block;
    }
    if (dot == std::string::npos || dot == base) return true;
    std::string extension = name.substr(dot);
    std::ranges::transform(extension, extension.begin(), [](unsigned char c) { return std::tolower(c); });
    const bool is_label = extension == ".cls";
    if (!is_label && extension != ".jpg" && extension != ".jpeg" && extension != ".png") return true;

    if (key != sample_.key) {
      finish_sample();
      sample_.key = key;
    }
    if (sparse || !regular) {
      broken_member(name, sparse ? "is sparse, expected all of its bytes" : "is not a regular file");
    } else if (is_label) {
      read_label(name, size);
    } else if (sample_.image) {
      broken_member(name, "is a second image of its sample, expected one");
    } else if (size > static_cast<std::int64_t>(max_image_file_bytes)) {
      broken_member(
          name, "holds " + std::to_string(size) + " bytes, expected at most " + std::to_string(max_image_file_bytes));
    } else {
      sample_.image = {static_cast<std::uint64_t>(offset), static_cast<std::uint32_t>(size)};
    }
    return true;
  }

  void read_label(const std::string& name, std::int64_t size) {
    if (sample_.label) return broken_member(name, "is a second class of its sample, expected one");
    std::array<char, max_label_bytes> buffer{};
    const la_ssize_t got =
        size > max_label_bytes ? -1 : archive_read_data(archive_.get(), buffer.data(), static_cast<std::size_t>(size));
    if (got != size) {
      return broken_member(name, "of " + std::to_string(size) + " bytes cannot be read, expected a class number");
    }
    std::string_view digits(buffer.data(), static_cast<std::size_t>(size));
    digits = digits.substr(0, digits.find_last_not_of(" \r\n") + 1);
    std::int64_t label = -1;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), label);
    const std::int64_t limit = classes_ > 0 ? classes_ : max_shard_classes;
    if (error != std::errc{} || end != digits.data() + digits.size() || label < 0 || label >= limit) {
      return broken_member(name,
                           "found " + quote(digits) + ", expected a class number, 0 to " + std::to_string(limit - 1));
    }
    sample_.label = static_cast<std::int32_t>(label);
  }

  void finish_sample() {
    Sample sample = std::exchange(sample_, {});
    if (sample.broken || sample.key.empty()) return;
    if (!sample.image || !sample.label) {
      return broken(sample.key, sample.image ? "found no .cls member beside the image" : "found a .cls member alone");
    }
    scan_.offsets.push_back(sample.image->offset);
    scan_.lengths.push_back(sample.image->length);
    scan_.labels.push_back(*sample.label);
    keys_.add(sample.key);
  }

  void drop_repeated() {
    const std::vector<std::size_t> repeated = repeated_names(keys_);
    for (const std::size_t i : repeated) broken(std::string(keys_[i]), "found this sample once more");
    const auto drop = [&](auto& values) {
      std::size_t kept = 0;
      for (std::size_t i = 0, next = 0; i < values.size(); ++i) {
        if (next < repeated.size() && repeated[next] == i) {
          ++next;
        } else {
          values[kept++] = values[i];
        }
      }
      values.resize(kept);
    };
    drop(scan_.offsets);
    drop(scan_.lengths);
    drop(scan_.labels);
  }

  [[nodiscard]] std::int64_t position() const { return archive_filter_bytes(archive_.get(), 0); }
  [[nodiscard]] std::string reason() const {
    const char* text = archive_error_string(archive_.get());
    return text != nullptr ? printable(text) : "unknown error";
  }
  [[noreturn]] void refuse(const std::string& what) const { throw InputError(printable(shard_.file) + ": " + what); }
  [[noreturn]] void refuse_format() const {
    refuse("found no tar file, expected one that is not compressed: " + reason());
  }
  void broken(const std::string& what) { scan_.damage.push_back(printable(shard_.file) + ": " + what); }
  void broken(const std::string& member, const std::string& what) { broken(quote(member, 200) + " " + what); }
  void broken_member(const std::string& member, const std::string& what) {
    if (!sample_.broken) broken(member, what);
    sample_.broken = true;
  }

  const Shard& shard_;
  std::int64_t classes_;
  Utf8Locale locale_;
  FileDescriptor fd_;
  std::unique_ptr<archive, int (*)(archive*)> archive_;
  std::int64_t end_of_members_ = 0;
  Sample sample_;
  Scan scan_;
  NameList keys_;  // of the samples in scan_
};

}  // namespace

ShardIndex index_shards(std::vector<Shard> shards, std::int64_t classes) {
  std::vector<Scan> scans(shards.size());
  std::vector<std::exception_ptr> errors(shards.size());
  std::atomic<std::size_t> next = 0;
  const auto work = [&] {
    for (std::size_t i = next++; i < shards.size(); i = next++) {
      try {
        scans[i] = ShardScanner(shards[i], classes).read();
      } catch (...) {
        errors[i] = std::current_exception();
      }
    }
  };
  {
    std::vector<std::jthread> threads;
    for (std::size_t t = 0; t < std::min(shards.size(), max_threads); ++t) threads.emplace_back(work);
  }
  for (const std::exception_ptr& error : errors) {
    if (error) std::rethrow_exception(error);
  }
  ShardIndex index{.shards = std::move(shards), .begins = {0}};
  for (Scan& scan : scans) {
    index.offsets.insert(index.offsets.end(), scan.offsets.begin(), scan.offsets.end());
    index.lengths.insert(index.lengths.end(), scan.lengths.begin(), scan.lengths.end());
    index.labels.insert(index.labels.end(), scan.labels.begin(), scan.labels.end());
    std::ranges::move(scan.damage, std::back_inserter(index.damage));
    index.begins.push_back(static_cast<std::int64_t>(index.offsets.size()));
    scan = {};
  }
  return index;
}

}  // namespace flowdarts
