#pragma once
// The two halves of a bilevel search.

#include <array>
#include <cstdint>
#include <string_view>

namespace flowdarts {

/// T trains the weights w, V trains the architecture parameters alpha. Disjoint parts of the training images.
enum class Split : std::uint8_t { train = 0, val = 1 };

inline constexpr std::array all_splits{Split::train, Split::val};

constexpr std::string_view name_of(Split split) {
  return split == Split::train ? "train" : "val";
}

}  // namespace flowdarts
