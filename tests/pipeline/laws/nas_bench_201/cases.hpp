#pragma once

#include <flowdarts/spaces/nas_bench_201/space.hpp>

#include <string>
#include <utility>
#include <vector>

#include "../laws.hpp"

namespace flowdarts::testing {

template <>
struct LawSpace<NasBench201> {
  template <class Options>
  static void make_small(Options& options) {
    options.run.mixed_op = MixedOpForm::oracle;
    options.space.channels = 2;
    options.space.cells = 1;
  }
  static LawOps ops_of(const NasBench201::Genotype& genotype) {
    LawOps ops{std::vector<int>(30)};
    for (std::size_t edge = 0; edge < 6; ++edge) ops[0][edge * 5 + static_cast<std::size_t>(genotype.ops[edge])] = 1;
    return ops;
  }
  static std::vector<std::int64_t> columns() { return {5}; }
};

using Searched = Counted<NasBench201>;

template <class M>
LawCase law_case(std::string name, LawTraits traits = {}) {
  return case_of<M, NasBench201>(std::move(name), traits);
}

/// The cases, by file.
std::vector<LawCase> darts_cases();
std::vector<LawCase> ostr_cases();
std::vector<LawCase> vp_cases();
std::vector<LawCase> is_cases();

}  // namespace flowdarts::testing
