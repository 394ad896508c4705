#pragma once
// The stand-alone network of a NAS-Bench-201 cell as an ONNX file. No LibTorch.

#include <flowdarts/spaces/export/network_graph.hpp>
#include <flowdarts/spaces/nas_bench_201/genotype.hpp>
#include <string>

namespace flowdarts::nas_bench_201 {

/// The file of the network in evaluation mode. weights: of nas_bench_201::Network, whose numbers of channels, cells and
/// classes they say. Input "images" [batch, 3, height, width], height and width multiples of 4; output "logits" [batch,
/// classes]; features at strides 1, 2 and 4, the last cells of the three stages.
std::string to_onnx(const Genotype& genotype, std::int64_t cells, const Weights& weights, const OnnxOptions& options);

}  // namespace flowdarts::nas_bench_201
