#include <array>
#include <flowdarts/spaces/nas_bench_201/onnx.hpp>
#include <optional>

namespace flowdarts::nas_bench_201 {
namespace {

using Value = NetworkGraph::Value;

constexpr double eps = 1e-5;

/// op is not none.
Value edge(NetworkGraph& graph, Op op, const std::string& module, const Value& x) {
  if (op == Op::skip_connect) return x;
  if (op == Op::avg_pool_3x3) return graph.average_pool(x, /*kernel=*/3, /*stride=*/1, /*padding=*/1);
  return graph.conv_norm(graph.relu(x), module + ".conv", module + ".norm", eps);
}

Value cell(NetworkGraph& graph, const Genotype& genotype, const std::string& module, const Value& x) {
  std::array<std::optional<Value>, node_count> nodes{x};
  const auto value_of = [&](int node) { return nodes[node] ? *nodes[node] : graph.zeros_like(x); };
  for (std::size_t e = 0; e < edges.size(); ++e) {
    if (genotype.ops[e] == Op::none) continue;
    const auto [to, from] = edges[e];
    const Value term = edge(graph, genotype.ops[e], module + ".edge" + std::to_string(e), value_of(from));
    nodes[to] = nodes[to] ? graph.add(*nodes[to], term) : term;
  }
  return value_of(node_count - 1);
}

Value residual_block(NetworkGraph& graph, const std::string& module, const Value& x) {
  const Value half = graph.conv_norm(graph.relu(x), module + ".conv1", module + ".norm1", eps, {.stride = {2, 2}});
  const Value out = graph.conv_norm(graph.relu(half), module + ".conv2", module + ".norm2", eps);
  return graph.add(graph.conv(graph.average_pool(x, /*kernel=*/2, /*stride=*/2, /*padding=*/0), module + ".shortcut"),
                   out);
}

}  // namespace

std::string to_onnx(const Genotype& genotype, std::int64_t cells, const Weights& weights, const OnnxOptions& options) {
  NetworkGraph graph(weights, options);
  const std::string backbone = "backbone.";
  std::int64_t channels = weights.at(backbone + "stem_conv.weight").shape[0];
  Value x = graph.conv_norm(graph.images(), backbone + "stem_conv", backbone + "stem_norm", eps);
  std::int64_t block = 0, stride = 1;
  const auto next_block = [&] { return backbone + "blocks." + std::to_string(block++); };
  for (int stage = 0; stage < 3; ++stage) {
    if (stage > 0) {
      x = residual_block(graph, next_block(), x);
      channels *= 2;
      stride *= 2;
    }
    for (std::int64_t i = 0; i < cells; ++i) x = cell(graph, genotype, next_block(), x);
    graph.feature(stride, channels, x);
  }
  x = graph.relu(graph.norm(x, backbone + "last_norm", eps));
  graph.classify(x, backbone + "classifier");
  return graph.finish(to_string(genotype));
}

}  // namespace flowdarts::nas_bench_201
