#include <flowdarts/spaces/darts/onnx.hpp>
#include <stdexcept>
#include <utility>

namespace flowdarts::darts {
namespace {

using Value = NetworkGraph::Value;

constexpr double eps = 1e-5;

Value relu_conv_norm(NetworkGraph& graph, const std::string& module, const Value& x) {
  return graph.conv_norm(graph.relu(x), module + ".conv", module + ".norm", eps);
}

Value factorized_reduce(NetworkGraph& graph, const std::string& module, const Value& x) {
  const Value rectified = graph.relu(x);
  return graph.convs_norm({rectified, graph.drop_first_row_and_column(rectified)},
                          {module + ".conv1", module + ".conv2"}, module + ".norm", eps, {.stride = {2, 2}});
}

Value separable_conv(NetworkGraph& graph, const std::string& module, const Value& x, std::int64_t stride,
                     std::int64_t dilation) {
  const Value filtered = graph.conv(graph.relu(x), module + ".depthwise",
                                    {.stride = {stride, stride}, .dilation = dilation, .depthwise = true});
  return graph.conv_norm(filtered, module + ".pointwise", module + ".norm", eps);
}

Value apply(NetworkGraph& graph, Op op, const std::string& module, const Value& x, std::int64_t stride) {
  switch (op) {
    case Op::none:
      break;
    case Op::max_pool_3x3:
      return graph.max_pool(x, /*kernel=*/3, stride, /*padding=*/1);
    case Op::avg_pool_3x3:
      return graph.average_pool(x, /*kernel=*/3, stride, /*padding=*/1);
    case Op::skip_connect:
      return stride == 1 ? x : factorized_reduce(graph, module, x);
    case Op::sep_conv_3x3:
    case Op::sep_conv_5x5:
    case Op::sep_conv_7x7:
      return separable_conv(graph, module + ".second",
                            separable_conv(graph, module + ".first", x, stride, /*dilation=*/1), /*stride=*/1,
                            /*dilation=*/1);
    case Op::dil_conv_3x3:
    case Op::dil_conv_5x5:
      return separable_conv(graph, module + ".conv", x, stride, /*dilation=*/2);
    case Op::conv_7x1_1x7:
      return graph.conv_norm(graph.conv(graph.relu(x), module + ".conv1", {.stride = {1, stride}}), module + ".conv2",
                             module + ".norm", eps, {.stride = {stride, 1}});
  }
  throw std::logic_error("ONNX: a genotype with none");
}

Value run_cell(NetworkGraph& graph, const Cell& cell, const CellPlace& place, const std::string& module,
               const Value& s0, const Value& s1) {
  std::vector<Value> states{place.reduction_prev ? factorized_reduce(graph, module + ".preprocess0", s0)
                                                 : relu_conv_norm(graph, module + ".preprocess0", s0),
                            relu_conv_norm(graph, module + ".preprocess1", s1)};
  const auto term = [&](std::size_t i) {
    const auto& [op, state] = cell.inputs[i];
    return apply(graph, op, module + ".op" + std::to_string(i), states[static_cast<std::size_t>(state)],
                 place.reduction && state < input_states ? 2 : 1);
  };
  for (std::size_t i = 0; i < cell.inputs.size(); i += 2) {
    const Value first = term(i);
    states.push_back(graph.add(first, term(i + 1)));
  }
  std::vector<Value> outputs;
  for (const int state : cell.concat) outputs.push_back(states[static_cast<std::size_t>(state)]);
  return graph.concat(outputs);
}

}  // namespace

std::string to_onnx(const Genotype& genotype, const NetworkSpec& spec, const Weights& weights,
                    const OnnxOptions& options) {
  NetworkGraph graph(weights, options);
  const auto stem = [&](int i, const Value& x, std::int64_t stride) {
    const std::string module = "backbone.stem" + std::to_string(i);
    return graph.conv_norm(x, module + ".conv", module + ".norm", eps, {.stride = {stride, stride}});
  };
  std::int64_t stride = 1;
  Value s0, s1;
  if (spec.stem == Stem::cifar) {
    s0 = s1 = stem(0, graph.images(), 1);
  } else {
    s0 = stem(1, graph.relu(stem(0, graph.images(), 2)), 2);
    s1 = stem(2, graph.relu(s0), 2);
    graph.feature(4, stem_channels(spec), s0);
    stride = 8;
  }
  graph.feature(stride, stem_channels(spec), s1);
  const std::vector<CellPlace> places = cell_places(spec, genotype);
  for (std::size_t i = 0; i < places.size(); ++i) {
    const CellPlace& place = places[i];
    s0 = std::exchange(s1, run_cell(graph, place.reduction ? genotype.reduce : genotype.normal, place,
                                    "backbone.cell" + std::to_string(i), s0, s1));
    if (place.reduction) stride *= 2;
    graph.feature(stride, place.channels_out, s1);
  }
  graph.classify(s1, "backbone.classifier");
  graph.leave_out("auxiliary");
  return graph.finish(to_string(genotype));
}

}  // namespace flowdarts::darts
