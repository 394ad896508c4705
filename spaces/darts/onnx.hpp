#pragma once
// The stand-alone network of DARTS cells as an ONNX file. No LibTorch.

#include <flowdarts/spaces/darts/spec.hpp>
#include <flowdarts/spaces/export/network_graph.hpp>
#include <string>

namespace flowdarts::darts {

/// The file of the network in evaluation mode, without the auxiliary classifier. weights: of darts::Network. Input
/// "images" [batch, 3, height, width], height and width multiples of size_multiple(spec.stem); output "logits" [batch,
/// classes]; features at strides 1, 2 and 4, with the ImageNet stem at 4 (its first part), 8, 16 and 32.
std::string to_onnx(const Genotype& genotype, const NetworkSpec& spec, const Weights& weights,
                    const OnnxOptions& options);

}  // namespace flowdarts::darts
