#pragma once

#include <algorithm>
#include <flowdarts/spaces/darts/genotype.hpp>
#include <flowdarts/spaces/support/collapse.hpp>

namespace flowdarts::darts {

/// Judges the normal cell, as the literature does: the reduction cells of good networks may be without parameters
/// altogether (DARTS_V2). Of eight ops P-DARTS (Chen et al., ICCV 2019) allows two skips, and the published cells of
/// DARTS have two and three; five and more are a collapse here.
inline CollapseVerdict collapse_verdict(const Genotype& genotype) {
  CollapseVerdict verdict{.ops = static_cast<int>(genotype.normal.inputs.size())};
  for (const Op op : {Op::max_pool_3x3, Op::avg_pool_3x3, Op::skip_connect}) {
    verdict.counts.emplace_back(name_of(op),
                                static_cast<int>(std::ranges::count(genotype.normal.inputs, op, &Input::op)));
  }
  return verdict;
}

}  // namespace flowdarts::darts
