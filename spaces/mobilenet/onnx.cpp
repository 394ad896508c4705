#include <flowdarts/spaces/mobilenet/onnx.hpp>

namespace flowdarts::mobilenet {
namespace {

using Value = NetworkGraph::Value;

constexpr double eps = 1e-3;

/// The modules `part`_conv and `part`_norm of `module`, which ends with a dot.
Value conv_norm(NetworkGraph& graph, const std::string& module, const std::string& part, const Value& x,
                const ConvShape& shape = {}) {
  return graph.conv_norm(x, module + part + "_conv", module + part + "_norm", eps, shape);
}

/// From the depthwise convolution on.
Value filter_and_project(NetworkGraph& graph, const std::string& module, const Value& x, std::int64_t stride) {
  const Value filtered =
      graph.relu6(conv_norm(graph, module, "depthwise", x, {.stride = {stride, stride}, .depthwise = true}));
  return conv_norm(graph, module, "project", filtered);
}

}  // namespace

std::string to_onnx(const Genotype& genotype, std::int64_t stem_stride, const Weights& weights,
                    const OnnxOptions& options) {
  NetworkGraph graph(weights, options);
  const std::string backbone = "backbone.";
  const auto channels_of = [&](const std::string& module) {
    return weights.at(module + "project_conv.weight").shape[0];
  };
  Value x = graph.relu6(conv_norm(graph, backbone, "stem", graph.images(), {.stride = {stem_stride, stem_stride}}));
  std::int64_t stride = stem_stride;
  const std::string fixed = backbone + "stage0.";
  x = filter_and_project(graph, fixed, x, /*stride=*/1);
  std::int64_t channels = channels_of(fixed);
  graph.feature(stride, channels, x);
  for (int layer = 0; layer < layer_count; ++layer) {
    if (genotype.ops[static_cast<std::size_t>(layer)] == Op::skip) continue;
    const std::string module = backbone + "layer" + std::to_string(layer) + ".";
    const Value expanded = graph.relu6(conv_norm(graph, module, "expand", x));
    const Value out = filter_and_project(graph, module, expanded, stride_of(layer));
    const bool shortcut = stride_of(layer) == 1 && channels_of(module) == channels;
    x = shortcut ? graph.add(out, x) : out;
    stride *= stride_of(layer);
    channels = channels_of(module);
    graph.feature(stride, channels, x);
  }
  x = graph.relu6(conv_norm(graph, backbone, "head", x));
  graph.classify(x, backbone + "classifier");
  return graph.finish(to_string(genotype));
}

}  // namespace flowdarts::mobilenet
