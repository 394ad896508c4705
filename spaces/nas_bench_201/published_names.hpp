#pragma once
// Module names of AutoDL-Projects, the code of NAS-Bench-201 (Dong and Yang, ICLR 2020). No LibTorch.

#include <cstdint>
#include <flowdarts/spaces/export/published_names.hpp>

namespace flowdarts::nas_bench_201 {

/// TinyNetwork of models/cell_infers: stem, cells, lastact, classifier. cells: of each stage.
ModuleNames published_modules(std::int64_t cells);

/// TinyNetworkDarts of models/cell_searchs, the supernet: edges "1<-0" to "3<-2", an entry a candidate op. Its alpha is
/// the parameter `arch_parameters`.
ModuleNames published_search_modules(std::int64_t cells);

}  // namespace flowdarts::nas_bench_201
