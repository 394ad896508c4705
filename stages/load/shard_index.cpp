#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <flowdarts/spaces/support/error.hpp>
#include <flowdarts/spaces/support/quote.hpp>
#include <flowdarts/stages/load/fingerprint.hpp>
#include <flowdarts/stages/load/image_file.hpp>
#include <flowdarts/stages/load/read_file.hpp>
#include <flowdarts/stages/load/shard_index.hpp>
#include <optional>
#include <span>
#include <string_view>
#include <system_error>
#include <type_traits>

namespace flowdarts {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view magic = "fdshard1";
constexpr std::uint64_t max_index_bytes = std::uint64_t{1} << 36U;
constexpr std::int64_t max_shards = 1000000;

Shard found_shard(const fs::path& file) {
  struct stat status {};
  if (::stat(file.c_str(), &status) != 0) {
    throw InputError(printable(file) + ": cannot be read: " + std::generic_category().message(errno));
  }
  if (!S_ISREG(status.st_mode)) throw InputError(printable(file) + ": is not a regular file, expected a tar file");
  return {file, static_cast<std::uint64_t>(status.st_size),
          std::int64_t{status.st_mtim.tv_sec} * 1'000'000'000 + status.st_mtim.tv_nsec};
}

std::vector<fs::path> tar_files(const fs::path& folder) {
  std::vector<fs::path> files;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    const fs::path name = it->path().filename();
    if (name.extension() == ".tar" && !name.native().starts_with('.')) files.push_back(it->path());
  }
  if (error) throw InputError(printable(folder) + ": cannot be read: " + error.message());
  if (files.empty()) throw InputError(printable(folder) + ": found no *.tar, expected shards");
  std::ranges::sort(files, {}, &fs::path::native);
  return files;
}

/// The files of PREFIX{FIRST..LAST}SUFFIX, numbers padded with zeros as FIRST is.
std::vector<fs::path> expanded(const fs::path& pattern) {
  const std::string& text = pattern.native();
  const auto refuse = [&] {
    throw InputError(printable(pattern) +
                     ": expected a folder, a file or a pattern such as DIR/train-{000000..000146}.tar");
  };
  const std::size_t open = text.find('{'), dots = text.find("..", open), close = text.find('}', open);
  if (dots == std::string::npos || close == std::string::npos || dots > close ||
      text.find('{', open + 1) != std::string::npos) {
    refuse();
  }
  const auto number = [&](std::size_t begin, std::size_t end) {
    std::int64_t value = -1;
    const auto [stop, error] = std::from_chars(text.data() + begin, text.data() + end, value);
    if (error != std::errc{} || stop != text.data() + end || value < 0) refuse();
    return value;
  };
  const std::int64_t first = number(open + 1, dots), last = number(dots + 2, close);
  if (first > last || last - first >= max_shards) refuse();
  const std::size_t width = dots - open - 1;
  std::vector<fs::path> files;
  for (std::int64_t i = first; i <= last; ++i) {
    std::string digits = std::to_string(i);
    if (digits.size() < width) digits.insert(0, width - digits.size(), '0');
    files.emplace_back(text.substr(0, open) + digits + text.substr(close + 1));
  }
  return files;
}

class Writer {
 public:
  template <class T>
  void add(T value) {
    static_assert(std::is_arithmetic_v<T>);
    add_bytes(&value, sizeof(T));
  }
  void add(std::string_view text) {
    add(std::uint64_t{text.size()});
    add_bytes(text.data(), text.size());
  }
  template <class T>
  void add(const std::vector<T>& values) {
    add(std::uint64_t{values.size()});
    add_bytes(values.data(), values.size() * sizeof(T));
  }
  void add_bytes(const void* data, std::size_t size) {
    const auto* begin = static_cast<const std::uint8_t*>(data);
    bytes_.insert(bytes_.end(), begin, begin + size);
  }
  [[nodiscard]] std::span<const std::uint8_t> bytes() const { return bytes_; }

 private:
  std::vector<std::uint8_t> bytes_;
};

/// Reads what Writer wrote. Past the end everything is 0 or empty, and ok() false.
class Reader {
 public:
  explicit Reader(std::span<const std::uint8_t> bytes) : rest_(bytes) {}

  template <class T>
  T number() {
    T value{};
    copy(&value, sizeof(T));
    return value;
  }
  std::string text() {
    std::string value(count(1), '\0');
    copy(value.data(), value.size());
    return value;
  }
  template <class T>
  std::vector<T> values() {
    std::vector<T> read(count(sizeof(T)));
    copy(read.data(), read.size() * sizeof(T));
    return read;
  }
  /// A number of things of at least `size` bytes, which are all there.
  std::size_t count(std::size_t size) {
    const auto n = number<std::uint64_t>();
    if (n > rest_.size() / size) ok_ = false;
    return ok_ ? static_cast<std::size_t>(n) : 0;
  }
  [[nodiscard]] bool ok() const { return ok_; }
  [[nodiscard]] bool at_end() const { return ok_ && rest_.empty(); }

 private:
  void copy(void* to, std::size_t size) {
    if (size > rest_.size()) ok_ = false;
    if (!ok_ || size == 0) return;
    std::memcpy(to, rest_.data(), size);
    rest_ = rest_.subspan(size);
  }
  std::span<const std::uint8_t> rest_;
  bool ok_ = true;
};

Writer file_of(const ShardIndex& index, std::int64_t classes) {
  Writer body;
  body.add(classes);
  body.add(std::uint64_t{index.shards.size()});
  for (const Shard& shard : index.shards) {
    body.add(std::string_view(shard.file.filename().native()));
    body.add(shard.bytes);
    body.add(shard.modified);
  }
  body.add(index.begins);
  body.add(index.offsets);
  body.add(index.lengths);
  body.add(index.labels);
  body.add(std::uint64_t{index.damage.size()});
  for (const std::string& line : index.damage) body.add(std::string_view(line));
  Fingerprint checksum;
  checksum.add(body.bytes());
  Writer file;
  file.add_bytes(magic.data(), magic.size());
  file.add(checksum.value());
  file.add_bytes(body.bytes().data(), body.bytes().size());
  return file;
}

bool is_consistent(const ShardIndex& index, std::int64_t classes) {
  const std::size_t samples = index.offsets.size();
  if (index.lengths.size() != samples || index.labels.size() != samples ||
      index.begins.size() != index.shards.size() + 1 || index.begins.front() != 0 ||
      index.begins.back() != static_cast<std::int64_t>(samples) || !std::ranges::is_sorted(index.begins)) {
    return false;
  }
  for (std::size_t k = 0; k < index.shards.size(); ++k) {
    for (auto i = static_cast<std::size_t>(index.begins[k]); i < static_cast<std::size_t>(index.begins[k + 1]); ++i) {
      if (index.lengths[i] > max_image_file_bytes || index.offsets[i] > index.shards[k].bytes ||
          index.lengths[i] > index.shards[k].bytes - index.offsets[i]) {
        return false;
      }
    }
  }
  const std::int64_t limit = classes > 0 ? classes : max_shard_classes;
  return std::ranges::all_of(index.labels, [&](std::int32_t label) { return label >= 0 && label < limit; });
}

/// The index in `file`, if that is whole and of these shards and classes.
std::optional<ShardIndex> read_index(const fs::path& file, const std::vector<Shard>& shards, std::int64_t classes) {
  std::vector<std::uint8_t> bytes;
  try {
    bytes = read_file(file, max_index_bytes);
  } catch (const InputError&) {
    return std::nullopt;
  }
  constexpr std::size_t header = magic.size() + sizeof(std::uint64_t);
  if (bytes.size() < header || !std::equal(magic.begin(), magic.end(), bytes.begin())) return std::nullopt;
  const std::span<const std::uint8_t> body = std::span(bytes).subspan(header);
  Fingerprint checksum;
  checksum.add(body);
  if (Reader(std::span(bytes).subspan(magic.size())).number<std::uint64_t>() != checksum.value()) return std::nullopt;

  Reader reader(body);
  if (reader.number<std::int64_t>() != classes || reader.count(1) != shards.size()) return std::nullopt;
  ShardIndex index{.shards = shards};
  for (const Shard& shard : shards) {
    const bool same = reader.text() == shard.file.filename().native();
    const bool same_bytes = reader.number<std::uint64_t>() == shard.bytes;
    if (reader.number<std::int64_t>() != shard.modified || !same || !same_bytes) return std::nullopt;
  }
  index.begins = reader.values<std::int64_t>();
  index.offsets = reader.values<std::uint64_t>();
  index.lengths = reader.values<std::uint32_t>();
  index.labels = reader.values<std::int32_t>();
  index.damage.resize(reader.count(sizeof(std::uint64_t)));
  for (std::string& line : index.damage) line = reader.text();
  if (!reader.at_end() || !is_consistent(index, classes)) return std::nullopt;
  return index;
}

/// A temporary file beside it, fsync, rename, so that a reader finds a whole index or none. False where that fails.
bool write_index(const fs::path& file, std::span<const std::uint8_t> bytes) {
  std::string temporary = file.native() + ".XXXXXX";
  const int fd = ::mkostemp(temporary.data(), O_CLOEXEC);
  if (fd < 0) return false;
  bool written = true;
  while (written && !bytes.empty()) {
    const ssize_t count = ::write(fd, bytes.data(), bytes.size());
    if (count > 0) bytes = bytes.subspan(static_cast<std::size_t>(count));
    written = count > 0 || (count < 0 && errno == EINTR);
  }
  // Others may search on the same shards.
  written = written && ::fchmod(fd, S_IRUSR | S_IWUSR | S_IRGRP | S_IROTH) == 0 && ::fsync(fd) == 0;
  written = ::close(fd) == 0 && written && std::rename(temporary.c_str(), file.c_str()) == 0;
  if (!written) ::unlink(temporary.c_str());
  return written;
}

}  // namespace

std::vector<Shard> find_shards(const fs::path& data) {
  std::error_code ignored;
  std::vector<fs::path> files;
  if (fs::is_directory(data, ignored)) {
    files = tar_files(data);
  } else if (fs::exists(data, ignored) || data.native().find('{') == std::string::npos) {
    files = {data};
  } else {
    files = expanded(data);
  }
  std::vector<Shard> shards;
  for (const fs::path& file : files) shards.push_back(found_shard(file));
  return shards;
}

std::vector<fs::path> shard_index_files(const fs::path& data) {
  std::error_code ignored;
  const bool is_folder = fs::is_directory(data, ignored);
  const fs::path folder = is_folder ? data : data.has_parent_path() ? data.parent_path() : fs::path(".");
  const std::string name = (is_folder ? std::string("shards") : data.filename().string()) + ".index";
  std::vector<fs::path> files{folder / name};
  const char* cache = std::getenv("XDG_CACHE_HOME");
  const char* home = std::getenv("HOME");
  fs::path below;
  if (cache != nullptr && fs::path(cache).is_absolute()) {
    below = cache;
  } else if (home != nullptr && fs::path(home).is_absolute()) {
    below = fs::path(home) / ".cache";
  } else {
    return files;
  }
  Fingerprint of_folder;
  of_folder.add(fs::weakly_canonical(folder, ignored).native());
  std::array<char, 17> digits{};
  std::to_chars(digits.data(), digits.data() + digits.size(), of_folder.value(), 16);
  files.push_back(below / "flowdarts" / (std::string(digits.data()) + "-" + name));
  return files;
}

ShardIndex open_shard_index(const fs::path& data, std::int64_t classes) {
  const std::vector<Shard> shards = find_shards(data);
  const std::vector<fs::path> files = shard_index_files(data);
  for (const fs::path& file : files) {
    if (std::optional<ShardIndex> index = read_index(file, shards, classes)) return std::move(*index);
  }
  ShardIndex index = index_shards(shards, classes);
  const Writer content = file_of(index, classes);
  for (const fs::path& file : files) {
    std::error_code ignored;
    if (&file != &files.front()) fs::create_directories(file.parent_path(), ignored);
    if (write_index(file, content.bytes())) break;
  }
  return index;
}

}  // namespace flowdarts
