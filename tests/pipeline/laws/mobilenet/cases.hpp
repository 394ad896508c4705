#pragma once

#include <flowdarts/spaces/mobilenet/space.hpp>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "../laws.hpp"

namespace flowdarts::testing {

template <>
struct LawSpace<Mobilenet> {
  template <class Options>
  static void make_small(Options& options) {
    options.run.mixed_op = MixedOpForm::fused;
    options.space.widths = "2,2,2,2,2,2,2,2,2";
    options.space.stem_stride = 1;
    // Two batches of T and one of V: the removal of each op is a pass over it.
    options.data.limit_samples = 30;
    options.data.train_portion = 2.0 / 3.0;
  }
  static LawOps ops_of(const Mobilenet::Genotype& genotype) {
    LawOps ops;
    for (int layer = 0; layer < mobilenet::layer_count; ++layer) {
      auto& row = ops.emplace_back(static_cast<std::size_t>(mobilenet::columns_of(layer)));
      row[static_cast<std::size_t>(genotype.ops[static_cast<std::size_t>(layer)])] = 1;
    }
    return ops;
  }
  static std::vector<std::int64_t> columns() {
    std::vector<std::int64_t> columns;
    for (int layer = 0; layer < mobilenet::layer_count; ++layer) columns.push_back(mobilenet::columns_of(layer));
    return columns;
  }
};

using Searched = Counted<Mobilenet>;

// 21 layers take their time. Run again are those that between them have all kinds of state.

template <class M>
LawCase law_case(std::string name, LawTraits traits = {}) {
  traits.interruptions = 2;
  return case_of<M, Mobilenet>(std::move(name), traits);
}

template <class M>
LawCase slow_case(std::string name, LawTraits traits = {}) {
  traits.slow = true;
  return law_case<M>(std::move(name), traits);
}

/// The cases, by file.
std::vector<LawCase> darts_cases();
std::vector<LawCase> ostr_cases();
std::vector<LawCase> vp_cases();
std::vector<LawCase> is_cases();

}  // namespace flowdarts::testing
