#pragma once

#include <algorithm>
#include <flowdarts/spaces/mobilenet/genotype.hpp>
#include <flowdarts/spaces/support/collapse.hpp>

namespace flowdarts::mobilenet {

/// Judges all 21 layers, of which 15 can be skipped: with eleven skips four are left beside the six that must be there.
inline CollapseVerdict collapse_verdict(const Genotype& genotype) {
  return {.ops = layer_count,
          .counts = {{name_of(Op::skip), static_cast<int>(std::ranges::count(genotype.ops, Op::skip))}}};
}

}  // namespace flowdarts::mobilenet
