#pragma once

#include <array>
#include <cstdint>
#include <flowdarts/spaces/support/error.hpp>
#include <string_view>
#include <utility>

namespace flowdarts {

/// How a supernet computes its mixed ops. Both give the same results, to rounding.
enum class MixedOpForm : std::uint8_t {
  fused,  ///< the operators of spaces/mixed_op/
  oracle  ///< op by op, as the papers write it
};

constexpr std::array<std::pair<MixedOpForm, std::string_view>, 2> names_of(MixedOpForm) {
  return {{{MixedOpForm::fused, "fused"}, {MixedOpForm::oracle, "oracle"}}};
}

/// What activations and convolutions are computed in; weights, alpha and statistics are float32 at least.
enum class Precision : std::uint8_t {
  fp32,
  tf32,  ///< float32, whose products a GPU takes of 10-bit mantissas; LibTorch is told so, supernets are fp32's
  bf16
};

constexpr std::array<std::pair<Precision, std::string_view>, 3> names_of(Precision) {
  return {{{Precision::fp32, "fp32"}, {Precision::tf32, "tf32"}, {Precision::bf16, "bf16"}}};
}

struct SupernetForm {
  MixedOpForm mixed_op = MixedOpForm::fused;
  Precision precision = Precision::fp32;
};

/// Throws InputError for an oracle in bf16.
inline void check(const SupernetForm& form) {
  if (form.mixed_op == MixedOpForm::oracle && form.precision == Precision::bf16) {
    throw InputError(
        "--precision: found bf16 with --mixed-op oracle, expected fp32 or tf32: the oracle computes in float32");
  }
}

}  // namespace flowdarts
