#pragma once
// Checkpoints: a checksummed container of named byte sections, and the folder that keeps the newest of them.
//
// A checkpoint, byte by byte (integers little endian, no padding):
//
//   offset  size  content
//   0       8     magic: 0x8D 'F' 'D' 'C' 'K' 0x0D 0x0A 0x1A (any text-mode or 7-bit transfer breaks it)
//   8       4     u32 schema version, 1
//   then for each section, from offset 12
//           4     u32 length n of the name, 1 to 255
//           n     name
//           8     u64 length m of the payload
//           4     u32 CRC-32 (zlib's: ISO-HDLC) of the payload
//           m     payload
//   at the end
//           4     u32 0, where a section would have the length of its name
//           4     u32 CRC-32 of every byte before it
//
// The first section is always "identity": u32 number of entries, then a key and a value each, strings as ByteWriter
// writes them.

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <flowdarts/pipeline/run_directory/atomic_file.hpp>
#include <ranges>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace flowdarts {

static_assert(std::endian::native == std::endian::little,
              "checkpoints are little endian and written as memory holds them");

/// What goes to disk as its bytes in memory: numbers, enums and structs of integers, without padding or pointers.
template <class T>
concept Plain = !std::ranges::range<T> && !std::is_pointer_v<T> && std::is_trivially_copyable_v<T> &&
                (std::same_as<T, float> || std::same_as<T, double> || std::has_unique_object_representations_v<T>);

/// Appends values to a growing buffer, little endian, without padding or type tags.
class ByteWriter {
 public:
  template <Plain T>
  void put(const T& value) {
    put_raw(std::as_bytes(std::span(&value, 1)));
  }
  /// u64 length, then the bytes.
  void put_bytes(std::span<const std::byte> bytes) {
    put(std::uint64_t{bytes.size()});
    put_raw(bytes);
  }
  void put_string(std::string_view text) { put_bytes(std::as_bytes(std::span(text))); }
  /// u64 count, then the elements.
  template <Plain T>
  requires(!std::same_as<T, bool>) void put_vector(std::span<const T> values) {
    put(std::uint64_t{values.size()});
    put_raw(std::as_bytes(values));
  }
  template <Plain T>
  void put_vector(const std::vector<T>& values) {
    put_vector(std::span<const T>(values));
  }

  /// The bytes alone, without a length.
  void put_raw(std::span<const std::byte> bytes);

  std::span<const std::byte> bytes() const { return bytes_; }
  std::vector<std::byte> take() && { return std::move(bytes_); }

 private:
  std::vector<std::byte> bytes_;
};

/// Reads what ByteWriter wrote. Every length is checked against the bytes that are there before anything is allocated;
/// throws InputError with `where`, the offset, what was found and what was expected. The bytes must outlive it.
class ByteReader {
 public:
  ByteReader(std::span<const std::byte> bytes, std::string where) : bytes_(bytes), where_(std::move(where)) {}

  template <Plain T>
  T get() {
    if constexpr (std::same_as<T, bool>) {
      const auto value = get<std::uint8_t>();
      if (value > 1) fail("found the truth value " + std::to_string(value) + ", expected 0 or 1");
      return value == 1;
    } else {
      T value;
      std::memcpy(&value, get_raw(sizeof(T)).data(), sizeof(T));
      return value;
    }
  }
  /// A view of the bytes, not a copy.
  std::span<const std::byte> get_bytes() { return get_raw(get_count(1)); }
  std::string get_string() {
    const auto text = get_bytes();
    return {reinterpret_cast<const char*>(text.data()), text.size()};
  }
  template <Plain T>
  requires(!std::same_as<T, bool>) std::vector<T> get_vector() {
    std::vector<T> values(get_count(sizeof(T)));
    const auto raw = get_raw(values.size() * sizeof(T));
    if (!raw.empty()) std::memcpy(values.data(), raw.data(), raw.size());
    return values;
  }

  /// The next `size` bytes: a view.
  std::span<const std::byte> get_raw(std::size_t size);

  std::size_t offset() const { return offset_; }
  std::size_t remaining() const { return bytes_.size() - offset_; }
  /// Throws InputError unless everything has been read.
  void expect_end() const;
  /// Throws InputError: where, the offset, and `what`.
  [[noreturn]] void fail(const std::string& what) const;

 private:
  std::size_t get_count(std::size_t element_size);

  std::span<const std::byte> bytes_;
  std::string where_;
  std::size_t offset_ = 0;
};

/// What a run is: method, space, data set, options, each as text. In the order in which differences are reported.
using Identity = std::vector<std::pair<std::string, std::string>>;

/// Throws InputError with `where` and both values of the first difference, in the order of `expected`, and how many
/// more there are.
void require_same_identity(const Identity& found, const Identity& expected, std::string_view where);

/// A complete, checked checkpoint. A value.
class Checkpoint {
 public:
  /// Throws InputError, naming `where` (the file), for anything but the unchanged bytes of a complete checkpoint.
  static Checkpoint parse(std::vector<std::byte> bytes, std::string where);

  const Identity& identity() const { return identity_; }
  bool has(std::string_view name) const;
  /// A reader of the section's payload, valid as long as this checkpoint. Throws InputError where there is none.
  ByteReader section(std::string_view name) const;
  /// The container as it goes to disk.
  std::span<const std::byte> bytes() const { return bytes_; }

 private:
  friend class CheckpointWriter;

  struct Section {
    std::string name;
    std::size_t offset;
    std::size_t size;
  };

  Checkpoint() = default;
  const Section* find(std::string_view name) const;

  std::vector<std::byte> bytes_;
  std::vector<Section> sections_;
  Identity identity_;
  std::string where_;
};

/// Puts a checkpoint together, one section after the other.
class CheckpointWriter {
 public:
  explicit CheckpointWriter(const Identity& identity);

  /// `name` has 1 to 255 bytes and is new; throws std::invalid_argument otherwise.
  void add(std::string_view name, std::span<const std::byte> payload);
  void add(std::string_view name, const ByteWriter& payload) { add(name, payload.bytes()); }
  Checkpoint finish() &&;

 private:
  ByteWriter bytes_;
  Checkpoint checkpoint_;  // all but its bytes
};

/// The folder of a run's checkpoints: files "epoch-000012-step-0000000345.ckpt", ordered by (epoch, step). At every
/// instant after the first save it holds one complete checkpoint. One process at a time (DirectoryLock).
class CheckpointStore {
 public:
  struct Entry {
    std::int64_t epoch;
    std::int64_t step;
    std::filesystem::path path;
  };
  struct Damaged {
    std::filesystem::path path;
    std::string reason;  // one line that names the file
  };
  struct Loaded {
    Checkpoint checkpoint;
    Entry entry;
    std::vector<Damaged> damaged;  // newer ones that could not be used, newest first
  };

  /// `folder` exists; temporary files a killed run left there are removed. `keep_newest` is at least 1.
  CheckpointStore(std::filesystem::path folder, std::size_t keep_newest, FileCalls calls = {});

  /// Writes atomically, then deletes all but the newest k. Checkpoints of a later (epoch, step) are deleted too: the
  /// run did not continue from them. Throws RunError; what was on disk before is still there then, or the new one is.
  std::filesystem::path save(std::int64_t epoch, std::int64_t step, const Checkpoint& checkpoint) const;

  /// The newest that is complete. Throws InputError where there is none, saying what was wrong with the newest.
  Loaded load_newest() const { return load_newest(folder_); }
  /// Oldest first; other files are not listed.
  std::vector<Entry> list() const { return list(folder_); }

  // The same of a folder that another process may be writing to: nothing is removed.
  static Loaded load_newest(const std::filesystem::path& folder);
  static std::vector<Entry> list(const std::filesystem::path& folder);

 private:
  std::filesystem::path folder_;
  std::size_t keep_newest_;
  FileCalls calls_;
};

}  // namespace flowdarts
