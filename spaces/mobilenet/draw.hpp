#pragma once
// A picture of the chain for a terminal.

#include <flowdarts/spaces/mobilenet/genotype.hpp>
#include <string>

namespace flowdarts::mobilenet {

/// Eight lines of UTF-8, at most 78 columns wide: a line a stage with the block of each of its layers, a dashed line
/// where a layer is skipped. Every line ends with a newline.
std::string draw(const Genotype& genotype);

}  // namespace flowdarts::mobilenet
