#pragma once
// The values of a network without the network. No LibTorch.

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace flowdarts {

/// One tensor on the host: row-major, as many values as the product of its sizes (1 where it has none).
struct Weight {
  std::vector<std::int64_t> shape;
  std::vector<float> values;
};

/// Parameters and buffers by the names their modules have, for example "backbone.stem_conv.weight".
using Weights = std::map<std::string, Weight>;

}  // namespace flowdarts
