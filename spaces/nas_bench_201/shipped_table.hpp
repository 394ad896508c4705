#pragma once
// data/nas-bench-201-200ep.csv.gz, compiled in: nothing has to be found at run time. Defined in a generated source.

#include <span>

namespace flowdarts::nas_bench_201 {

std::span<const unsigned char> shipped_table();

}  // namespace flowdarts::nas_bench_201
