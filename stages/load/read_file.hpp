#pragma once
// Whole files in memory, and file names fit for a message.

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace flowdarts {

/// A regular file's bytes. Throws InputError naming the file if it cannot be read, is not a regular file or holds more
/// than `max_bytes`.
[[nodiscard]] std::vector<std::uint8_t> read_file(const std::filesystem::path& file, std::uint64_t max_bytes);

/// The path with control characters replaced by '?', so that a message stays one line whatever a file is called.
[[nodiscard]] std::string printable(const std::filesystem::path& path);

}  // namespace flowdarts
