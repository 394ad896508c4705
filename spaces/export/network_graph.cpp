#include <cmath>
#include <flowdarts/spaces/export/network_graph.hpp>
#include <limits>
#include <stdexcept>

namespace flowdarts {

NetworkGraph::NetworkGraph(const Weights& weights, const OnnxOptions& options) : weights_(weights), options_(options) {
  model_.add_input(images(), {"batch", 3, "height", "width"});
}

const Weight& NetworkGraph::weight(const std::string& name) {
  const auto found = weights_.find(name);
  if (found == weights_.end()) throw std::logic_error("ONNX: the network has no tensor " + name);
  used_.insert(name);
  return found->second;
}

std::string NetworkGraph::constant(const std::string& name) {
  const Weight& tensor = weight(name);
  if (constants_.insert(name).second) model_.add_tensor(name, tensor.shape, tensor.values);
  return name;
}

NetworkGraph::Value NetworkGraph::node(const std::string& hint, std::string_view op_type,
                                       const std::vector<Value>& inputs, const std::vector<OnnxAttribute>& attributes) {
  const int count = names_[hint]++;
  Value output = count == 0 ? hint : hint + "_" + std::to_string(count);
  model_.add_node(op_type, inputs, output, attributes);
  return output;
}

NetworkGraph::Scale NetworkGraph::scale_of(const std::string& norm, double eps) {
  const Weight& gamma = weight(norm + ".weight");
  const Weight& beta = weight(norm + ".bias");
  const Weight& mean = weight(norm + ".running_mean");
  const Weight& variance = weight(norm + ".running_var");
  Scale scale;
  for (std::size_t c = 0; c < gamma.values.size(); ++c) {
    const double factor = gamma.values[c] / std::sqrt(variance.values[c] + eps);
    scale.factor.push_back(static_cast<float>(factor));
    scale.shift.push_back(static_cast<float>(beta.values[c] - mean.values[c] * factor));
  }
  return scale;
}

NetworkGraph::Value NetworkGraph::conv_of(const Value& x, const std::string& module, const ConvShape& shape,
                                          const std::string& weight_name, const std::string& bias_name) {
  const std::vector<std::int64_t>& sizes = weight(module + ".weight").shape;
  const std::int64_t pad_y = shape.dilation * (sizes[2] / 2), pad_x = shape.dilation * (sizes[3] / 2);
  std::vector<Value> inputs{x, weight_name};
  if (!bias_name.empty()) inputs.push_back(bias_name);
  return node(module, "Conv", inputs,
              {{"kernel_shape", std::vector<std::int64_t>{sizes[2], sizes[3]}},
               {"strides", std::vector<std::int64_t>{shape.stride[0], shape.stride[1]}},
               {"pads", std::vector<std::int64_t>{pad_y, pad_x, pad_y, pad_x}},
               {"dilations", std::vector<std::int64_t>{shape.dilation, shape.dilation}},
               {"group", shape.depthwise ? sizes[0] : std::int64_t{1}}});
}

NetworkGraph::Value NetworkGraph::conv(const Value& x, const std::string& module, const ConvShape& shape) {
  return conv_of(x, module, shape, constant(module + ".weight"),
                 has(module + ".bias") ? constant(module + ".bias") : "");
}

NetworkGraph::Value NetworkGraph::folded_conv(const Value& x, const std::string& module, const ConvShape& shape,
                                              const Scale& scale, std::size_t first_channel) {
  Weight folded = weight(module + ".weight");
  const auto channels = static_cast<std::size_t>(folded.shape[0]);
  const std::size_t per_channel = folded.values.size() / channels;
  std::vector<float> bias(channels);
  for (std::size_t c = 0; c < channels; ++c) {
    const float factor = scale.factor[first_channel + c];
    for (std::size_t i = 0; i < per_channel; ++i) folded.values[c * per_channel + i] *= factor;
    bias[c] = scale.shift[first_channel + c];
    if (has(module + ".bias")) bias[c] += weight(module + ".bias").values[c] * factor;
  }
  model_.add_tensor(module + ".weight", folded.shape, folded.values);
  model_.add_tensor(module + ".bias", std::span(folded.shape).first(1), bias);
  return conv_of(x, module, shape, module + ".weight", module + ".bias");
}

NetworkGraph::Value NetworkGraph::norm(const Value& x, const std::string& module, double eps) {
  return node(module, "BatchNormalization",
              {x, constant(module + ".weight"), constant(module + ".bias"), constant(module + ".running_mean"),
               constant(module + ".running_var")},
              {{"epsilon", static_cast<float>(eps)}});
}

NetworkGraph::Value NetworkGraph::conv_norm(const Value& x, const std::string& conv, const std::string& norm,
                                            double eps, const ConvShape& shape) {
  return convs_norm({x}, {conv}, norm, eps, shape);
}

NetworkGraph::Value NetworkGraph::convs_norm(const std::vector<Value>& xs, const std::vector<std::string>& convs,
                                             const std::string& norm, double eps, const ConvShape& shape) {
  const Scale scale = options_.fold_bn ? scale_of(norm, eps) : Scale();
  std::vector<Value> outputs;
  std::size_t first_channel = 0;
  for (std::size_t i = 0; i < convs.size(); ++i) {
    outputs.push_back(options_.fold_bn ? folded_conv(xs[i], convs[i], shape, scale, first_channel)
                                       : conv(xs[i], convs[i], shape));
    first_channel += static_cast<std::size_t>(weight(convs[i] + ".weight").shape[0]);
  }
  const Value joined = outputs.size() == 1 ? outputs.front() : concat(outputs);
  return options_.fold_bn ? joined : this->norm(joined, norm, eps);
}

NetworkGraph::Value NetworkGraph::relu(const Value& x) {
  return node("relu", "Relu", {x});
}

NetworkGraph::Value NetworkGraph::relu6(const Value& x) {
  if (constants_.insert("six").second) {
    const float zero = 0, six = 6;
    model_.add_tensor("zero", {}, std::span(&zero, 1));
    model_.add_tensor("six", {}, std::span(&six, 1));
  }
  return node("relu6", "Clip", {x, "zero", "six"});
}

NetworkGraph::Value NetworkGraph::add(const Value& x, const Value& y) {
  return node("sum", "Add", {x, y});
}

NetworkGraph::Value NetworkGraph::concat(const std::vector<Value>& xs) {
  return node("concat", "Concat", xs, {{"axis", std::int64_t{1}}});
}

NetworkGraph::Value NetworkGraph::average_pool(const Value& x, std::int64_t kernel, std::int64_t stride,
                                               std::int64_t padding) {
  return node("average_pool", "AveragePool", {x},
              {{"kernel_shape", std::vector<std::int64_t>(2, kernel)},
               {"strides", std::vector<std::int64_t>(2, stride)},
               {"pads", std::vector<std::int64_t>(4, padding)},
               {"count_include_pad", std::int64_t{0}}});
}

NetworkGraph::Value NetworkGraph::max_pool(const Value& x, std::int64_t kernel, std::int64_t stride,
                                           std::int64_t padding) {
  return node("max_pool", "MaxPool", {x},
              {{"kernel_shape", std::vector<std::int64_t>(2, kernel)},
               {"strides", std::vector<std::int64_t>(2, stride)},
               {"pads", std::vector<std::int64_t>(4, padding)}});
}

NetworkGraph::Value NetworkGraph::zeros_like(const Value& x) {
  return node("zeros", "Sub", {x, x});
}

NetworkGraph::Value NetworkGraph::drop_first_row_and_column(const Value& x) {
  if (constants_.insert("slice_starts").second) {
    const std::array<std::int64_t, 2> starts{1, 1}, axes{2, 3};
    const std::array<std::int64_t, 2> ends{std::numeric_limits<std::int64_t>::max(),
                                           std::numeric_limits<std::int64_t>::max()};
    model_.add_integers("slice_starts", starts);
    model_.add_integers("slice_ends", ends);
    model_.add_integers("slice_axes", axes);
  }
  return node("shifted", "Slice", {x, "slice_starts", "slice_ends", "slice_axes"});
}

void NetworkGraph::feature(std::int64_t stride, std::int64_t channels, const Value& x) {
  features_[stride] = {.channels = channels, .value = x};
}

void NetworkGraph::classify(const Value& x, const std::string& module) {
  const Value pooled = node("pooled", "GlobalAveragePool", {x});
  const Value flat = node("flat", "Flatten", {pooled}, {{"axis", std::int64_t{1}}});
  const std::int64_t classes = weight(module + ".weight").shape[0];
  node("logits", "Gemm", {flat, constant(module + ".weight"), constant(module + ".bias")},
       {{"transB", std::int64_t{1}}});
  model_.add_output("logits", {"batch", classes});
}

void NetworkGraph::leave_out(const std::string& module) {
  for (const auto& [name, tensor] : weights_) {
    if (name.starts_with(module + ".")) used_.insert(name);
  }
}

std::string NetworkGraph::finish(const std::string& name) {
  if (options_.features) {
    for (const auto& [stride, feature] : features_) {
      const std::string output = "stride_" + std::to_string(stride);
      model_.add_node("Identity", {feature.value}, output);
      model_.add_output(output, {"batch", feature.channels, output + "_height", output + "_width"});
    }
  }
  for (const auto& [tensor, values] : weights_) {
    if (!used_.contains(tensor)) throw std::logic_error("ONNX: no layer reads the tensor " + tensor);
  }
  return model_.bytes(name, options_.metadata);
}

}  // namespace flowdarts
