#pragma once
// A stand-alone network of any space as files that others read. No LibTorch.

#include <flowdarts/spaces/export/network_graph.hpp>
#include <flowdarts/spaces/export/published_names.hpp>
#include <flowdarts/spaces/stand_alone/spec.hpp>
#include <string>

namespace flowdarts {

/// The ONNX file of the network in evaluation mode, as to_onnx() of its space. weights: those of the network's module.
std::string to_onnx(const StandAlone& network, const Weights& weights, const OnnxOptions& options);

/// The names of its modules in its space's published code.
ModuleNames published_modules(const StandAlone& network);

}  // namespace flowdarts
