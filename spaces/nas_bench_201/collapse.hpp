#pragma once

#include <algorithm>
#include <flowdarts/spaces/nas_bench_201/genotype.hpp>
#include <flowdarts/spaces/support/collapse.hpp>

namespace flowdarts::nas_bench_201 {

/// Judges all six edges. With four or more ops without parameters the median cell is below 90 % on CIFAR-10 (that of
/// all cells is above); DARTS ends in the cell of six skips, 54.3 % (Dong and Yang, ICLR 2020).
inline CollapseVerdict collapse_verdict(const Genotype& genotype) {
  CollapseVerdict verdict{.ops = static_cast<int>(genotype.ops.size()), .connected = is_connected(genotype)};
  for (const Op op : {Op::none, Op::skip_connect, Op::avg_pool_3x3}) {
    verdict.counts.emplace_back(name_of(op), static_cast<int>(std::ranges::count(genotype.ops, op)));
  }
  return verdict;
}

}  // namespace flowdarts::nas_bench_201
