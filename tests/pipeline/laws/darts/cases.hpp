#pragma once

#include <flowdarts/spaces/darts/space.hpp>

#include <string>
#include <utility>
#include <vector>

#include "../laws.hpp"

namespace flowdarts::testing {

template <>
struct LawSpace<Darts> {
  static constexpr int nodes = 2;

  template <class Options>
  static void make_small(Options& options) {
    options.run.mixed_op = MixedOpForm::fused;
    options.data.limit_samples = 40;
    // One batch of V: the removal of each op is a pass over it.
    options.data.train_portion = 0.75;
    options.space.channels = 2;
    options.space.cells = 3;
    options.space.nodes = nodes;
  }
  static LawOps ops_of(const Darts::Genotype& genotype) {
    LawOps ops;
    for (const darts::Cell* cell : {&genotype.normal, &genotype.reduce}) {
      auto& matrix = ops.emplace_back(darts::edge_count(nodes) * darts::candidate_count);
      for (std::size_t i = 0; i < cell->inputs.size(); ++i) {
        const darts::Input& input = cell->inputs[i];
        const std::size_t edge = darts::first_edge(static_cast<int>(i / 2)) + static_cast<std::size_t>(input.state);
        matrix[edge * darts::candidate_count + static_cast<std::size_t>(input.op)] = 1;
      }
    }
    return ops;
  }
  static std::vector<std::int64_t> columns() { return {darts::candidate_count, darts::candidate_count}; }
};

using Searched = Counted<Darts>;

/// Cells of many ops take their time: less places to interrupt than on other spaces.
template <class M>
LawCase law_case(std::string name, LawTraits traits = {}) {
  traits.interruptions = 2;
  return case_of<M, Darts>(std::move(name), traits);
}

/// The cases, by file.
std::vector<LawCase> darts_cases();
std::vector<LawCase> ostr_cases();
std::vector<LawCase> vp_cases();
std::vector<LawCase> is_cases();

}  // namespace flowdarts::testing
