#pragma once
// Text from outside, made fit for a one-line message.

#include <cstddef>
#include <string>
#include <string_view>

namespace flowdarts {

/// `text` in double quotes, control characters and non-ASCII bytes as \xNN, cut after `limit` bytes.
inline std::string quote(std::string_view text, std::size_t limit = 40) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string quoted = "\"";
  for (const char c : text.substr(0, limit)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte < 0x7f) {
      quoted += c;
    } else {
      quoted += "\\x";
      quoted += digits[byte >> 4U];
      quoted += digits[byte & 15U];
    }
  }
  return quoted + (text.size() > limit ? "...\"" : "\"");
}

}  // namespace flowdarts
