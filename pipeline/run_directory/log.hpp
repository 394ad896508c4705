#pragma once
// The log of a program: to the terminal and to a file.

#include <spdlog/logger.h>

#include <filesystem>
#include <flowdarts/pipeline/run_directory/atomic_file.hpp>
#include <flowdarts/pipeline/run_directory/terminal.hpp>
#include <memory>

namespace flowdarts {

/// A logger of its own (spdlog's global registry is not used). To the terminal, "12:00:00 info  text", without tearing
/// a live status line. Thread-safe.
std::shared_ptr<spdlog::logger> make_logger(std::shared_ptr<Terminal> terminal, spdlog::level::level_enum level);

/// Logs to `path` too: appended, "2025-01-31T12:00:00.000+01:00 info  text", one write() a message, so that it is
/// complete up to the last message whenever the process ends. Where the disk refuses a message, the terminal says so.
/// Throws RunError where the file cannot be opened. Not while other threads log.
void add_log_file(spdlog::logger& logger, const std::filesystem::path& path, FileCalls calls = {});

}  // namespace flowdarts
