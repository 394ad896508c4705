#pragma once
// Where and when a run takes place, as it is written into its files.

#include <unistd.h>

#include <array>
#include <ctime>
#include <string>

namespace flowdarts {

inline std::string host_name() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 && name[0] != '\0' ? name.data() : "localhost";
}

/// ISO 8601 in UTC, for example 2025-01-31T12:00:00Z.
inline std::string utc_text(std::time_t time) {
  std::tm parts{};
  ::gmtime_r(&time, &parts);
  std::array<char, 32> text{};
  std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text.data();
}

}  // namespace flowdarts
