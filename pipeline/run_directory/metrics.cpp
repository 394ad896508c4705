#include <flowdarts/pipeline/run_directory/metrics.hpp>
#include <flowdarts/spaces/support/error.hpp>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <system_error>
#include <utility>

namespace flowdarts {
namespace {

using nlohmann::ordered_json;

bool is_row(const ordered_json& row) {
  return row.is_object() && row.contains("epoch") && row["epoch"].is_number_integer();
}

std::string_view complete_lines(std::string_view text) {
  const auto end = text.rfind('\n');
  return text.substr(0, end == std::string_view::npos ? 0 : end + 1);
}

// Calls use(row, line with its newline) for each complete line.
template <class Use>
void for_each_row(std::string_view lines, const std::string& where, Use&& use) {
  for (int number = 1; !lines.empty(); ++number) {
    const std::string_view line = lines.substr(0, lines.find('\n') + 1);
    lines.remove_prefix(line.size());
    ordered_json row = ordered_json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!is_row(row))
      throw InputError(where + ", line " + std::to_string(number) +
                       ": found something else, expected a JSON object with an integer \"epoch\"");
    use(std::move(row), line);
  }
}

bool is_there(const std::filesystem::path& path) {
  std::error_code error;
  return std::filesystem::symlink_status(path, error).type() != std::filesystem::file_type::not_found;
}

AppendFile open_after_last_line(const std::filesystem::path& path, FileCalls calls) {
  if (is_there(path)) {
    const std::string text = read_text_file(path);
    const std::string_view kept = complete_lines(text);
    if (kept.size() != text.size()) write_file_atomically(path, kept, calls);
  }
  return AppendFile(path, std::move(calls));
}

}  // namespace

MetricsWriter::MetricsWriter(const std::filesystem::path& path, FileCalls calls)
    : file_(open_after_last_line(path, std::move(calls))) {}

MetricsWriter MetricsWriter::resume(const std::filesystem::path& path, std::int64_t last_epoch, FileCalls calls) {
  if (is_there(path)) {
    const std::string text = read_text_file(path);
    std::string kept;
    for_each_row(complete_lines(text), path.string(), [&](const ordered_json& row, std::string_view line) {
      if (row["epoch"].get<std::int64_t>() <= last_epoch) kept += line;
    });
    if (kept != text) write_file_atomically(path, kept, calls);
  }
  return MetricsWriter(path, std::move(calls));
}

void MetricsWriter::append(const ordered_json& row) {
  if (!is_row(row)) throw std::invalid_argument("a metrics row is an object with an integer \"epoch\"");
  file_.append(row.dump(-1, ' ', false, ordered_json::error_handler_t::replace) + "\n");
}

std::vector<ordered_json> read_metrics(const std::filesystem::path& path) {
  return parse_metrics(read_text_file(path), path.string());
}

std::vector<ordered_json> parse_metrics(std::string_view text, const std::string& where) {
  std::vector<ordered_json> rows;
  for_each_row(complete_lines(text), where,
               [&](ordered_json&& row, std::string_view) { rows.push_back(std::move(row)); });
  return rows;
}

}  // namespace flowdarts
