#pragma once
// From the modules' names here to those of the PyTorch code that the papers were published with.

#include <flowdarts/spaces/weights.hpp>
#include <map>
#include <set>
#include <string>

namespace flowdarts {

/// The published name of each module that may hold tensors, by its name here, without a tensor's own name behind it:
/// {"backbone.stem_conv", "stem.0"}. Those of modules that a network does not have do no harm.
using ModuleNames = std::map<std::string, std::string>;

/// The weights under their published names. A module that has none is a defect of the caller: std::logic_error.
Weights renamed(const Weights& weights, const ModuleNames& names);

/// The names of the counters that PyTorch's batch norms have beside their running statistics.
std::set<std::string> batch_counters(const Weights& weights);

}  // namespace flowdarts
