#pragma once
// A picture of the cell for a terminal.

#include <flowdarts/spaces/nas_bench_201/genotype.hpp>
#include <string>

namespace flowdarts::nas_bench_201 {

/// Seven lines of UTF-8 box drawing, 78 columns wide: the four nodes in a row, an arrow for each edge with the name of
/// its op, `none` edges dashed. Every line ends with a newline.
std::string draw(const Genotype& genotype);

}  // namespace flowdarts::nas_bench_201
