#pragma once
// TensorBoard event files, without TensorFlow or protobuf.
//
// A file is a sequence of records: u64 length, u32 masked CRC-32C of these 8 bytes, the data, u32 masked CRC-32C of the
// data, all little endian (tensorflow/core/lib/io/record_writer.cc). The data are Event messages
// (tensorflow/core/util/event.proto), the first with file_version "brain.Event:2".

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <flowdarts/pipeline/run_directory/atomic_file.hpp>
#include <span>
#include <string>
#include <string_view>

namespace flowdarts {

/// CRC-32C (Castagnoli), RFC 3720 appendix B.4.
std::uint32_t crc32c(std::span<const std::byte> bytes);

/// Seconds since 1970, as events carry them.
inline double wall_time_now() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

/// Appends events to a new file events.out.tfevents.<time>.<host>, each in one write().
class EventWriter {
 public:
  /// `folder` exists. `first_step` is the first step this run writes; where it resumes another, TensorBoard drops what
  /// earlier files of the folder have from that step on. Throws RunError, as do all others.
  explicit EventWriter(const std::filesystem::path& folder, std::int64_t first_step = 0, FileCalls calls = {});

  void add_scalar(std::string_view tag, std::int64_t step, float value, double wall_time = wall_time_now());
  /// Markdown, shown by the text plugin.
  void add_text(std::string_view tag, std::int64_t step, std::string_view text, double wall_time = wall_time_now());
  void sync() { file_.sync(); }

  const std::filesystem::path& path() const { return file_.path(); }

 private:
  void write_record(std::string_view data);

  AppendFile file_;
};

}  // namespace flowdarts
