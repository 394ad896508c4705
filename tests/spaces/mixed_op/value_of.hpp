#pragma once

#include <bit>
#include <cstdint>
#include <flowdarts/spaces/mixed_op/rows.hpp>

namespace flowdarts::testing {

/// What a number of a kernel's type is worth.
inline double value_of(double x) {
  return x;
}
inline double value_of(mixed_op::Bf16 x) {
  return std::bit_cast<float>(std::uint32_t{x.bits} << 16U);
}

}  // namespace flowdarts::testing
