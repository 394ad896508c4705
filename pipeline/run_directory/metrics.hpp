#pragma once
// metrics.jsonl: one JSON object a line, only ever appended to.

#include <cstdint>
#include <filesystem>
#include <flowdarts/pipeline/run_directory/atomic_file.hpp>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace flowdarts {

/// Appends rows. JSON has no NaN and no infinity: such numbers are written as null. Text that is not UTF-8 is written
/// with replacement characters.
class MetricsWriter {
 public:
  /// Appends to what is there; a torn last line is cut off first.
  explicit MetricsWriter(const std::filesystem::path& path, FileCalls calls = {});

  /// The same, after dropping every row of an epoch beyond `last_epoch` (-1: all), because a resumed search writes
  /// those again. Throws InputError where a line but the last is not such a row.
  static MetricsWriter resume(const std::filesystem::path& path, std::int64_t last_epoch, FileCalls calls = {});

  /// One line in one write(). `row` is an object with an integer "epoch"; throws std::invalid_argument otherwise and
  /// RunError where the disk refuses it; the file then ends with the row before.
  void append(const nlohmann::ordered_json& row);
  /// To be called at an epoch's end: a power failure loses no row appended before.
  void sync() { file_.sync(); }

 private:
  AppendFile file_;
};

/// All complete rows. A last line without its newline (a crash cut it off) is left out. Throws InputError with file and
/// line for anything else that is not an object with an integer "epoch".
std::vector<nlohmann::ordered_json> read_metrics(const std::filesystem::path& path);
/// The same from the text of such a file; `where` names it in errors.
std::vector<nlohmann::ordered_json> parse_metrics(std::string_view text, const std::string& where);

}  // namespace flowdarts
