#pragma once
// A 64-bit content hash: FNV-1a's scheme on 8-byte words with a stronger mix. Not cryptographic.

#include <bit>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

namespace flowdarts {

class Fingerprint {
 public:
  void add(std::uint64_t word) {
    hash_ = (hash_ ^ word) * 0x9E3779B97F4A7C15U;
    hash_ ^= hash_ >> 32U;
  }

  /// Length first, so that neighbouring pieces cannot trade bytes.
  void add(std::span<const std::uint8_t> bytes) {
    static_assert(std::endian::native == std::endian::little);
    add(bytes.size());
    for (; !bytes.empty();) {
      const std::size_t count = bytes.size() < 8 ? bytes.size() : 8;
      std::uint64_t word = 0;
      std::memcpy(&word, bytes.data(), count);
      add(word);
      bytes = bytes.subspan(count);
    }
  }

  void add(std::string_view text) { add(std::span(reinterpret_cast<const std::uint8_t*>(text.data()), text.size())); }

  [[nodiscard]] std::uint64_t value() const { return hash_; }

 private:
  std::uint64_t hash_ = 0xCBF29CE484222325U;
};

}  // namespace flowdarts
