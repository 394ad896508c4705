#pragma once

#include <flowdarts/pipeline/options.hpp>

#include <spdlog/common.h>

namespace flowdarts {

/// What --log-level says, as spdlog does.
inline spdlog::level::level_enum spdlog_level(LogLevel level) {
  switch (level) {
    case LogLevel::debug:
      return spdlog::level::debug;
    case LogLevel::warning:
      return spdlog::level::warn;
    case LogLevel::error:
      return spdlog::level::err;
    case LogLevel::info:
      break;
  }
  return spdlog::level::info;
}

}  // namespace flowdarts
