#pragma once
// The deterministic numbers of the golden checks.

#include <cstdint>
#include <vector>

namespace flowdarts::testing {

/// u(i) in [-1, 1): the finaliser of MurmurHash3 on i.
inline double u(std::uint32_t i) {
  std::uint32_t x = i + 0x9E3779B9U;
  x ^= x >> 16U;
  x *= 0x85EBCA6BU;
  x ^= x >> 13U;
  x *= 0xC2B2AE35U;
  x ^= x >> 16U;
  return 2.0 * x / 4294967296.0 - 1.0;
}

/// scale u(offset), scale u(offset + 1), ...
inline std::vector<double> golden_values(std::size_t count, double scale, std::uint32_t offset) {
  std::vector<double> values(count);
  for (std::uint32_t i = 0; i < count; ++i) values[i] = scale * u(offset + i);
  return values;
}

}  // namespace flowdarts::testing
