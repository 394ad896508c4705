#pragma once
// The stand-alone network of a MobileNet-like chain as an ONNX file. No LibTorch.

#include <flowdarts/spaces/export/network_graph.hpp>
#include <flowdarts/spaces/mobilenet/genotype.hpp>
#include <string>

namespace flowdarts::mobilenet {

/// The file of the network in evaluation mode. weights: of mobilenet::Network, whose widths they say. Input "images"
/// [batch, 3, height, width]; output "logits" [batch, classes]; features at strides 2, 4, 8, 16 and 32 (half of that
/// where stem_stride is 1), the last layers of these resolutions, before the head.
std::string to_onnx(const Genotype& genotype, std::int64_t stem_stride, const Weights& weights,
                    const OnnxOptions& options);

}  // namespace flowdarts::mobilenet
