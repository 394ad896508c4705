#include <bit>
#include <flowdarts/spaces/export/onnx_model.hpp>
#include <flowdarts/spaces/support/version.hpp>
#include <functional>
#include <numeric>
#include <protozero/pbf_writer.hpp>
#include <stdexcept>

namespace flowdarts {
namespace {

using protozero::pbf_writer;

static_assert(std::endian::native == std::endian::little, "raw_data is little endian and written as memory holds it");

// Field numbers of the messages used, from onnx.proto.
namespace field {
enum Model { ir_version = 1, producer_name = 2, producer_version = 3, graph = 7, opset_import = 8, metadata = 14 };
enum OperatorSet { version = 2 };
enum Entry { key = 1, value = 2 };
enum Graph { node = 1, graph_name = 2, initializer = 5, input = 11, output = 12 };
enum Node { node_input = 1, node_output = 2, node_name = 3, op_type = 4, attribute = 5 };
enum Attribute { attribute_name = 1, f = 2, i = 3, ints = 8, type = 20 };
enum Tensor { dims = 1, data_type = 2, tensor_name = 8, raw_data = 9 };
enum ValueInfo { value_name = 1, value_type = 2 };
enum Type { tensor_type = 1 };
enum TensorType { elem_type = 1, shape = 2 };
enum TensorShape { dim = 1 };
enum Dim { dim_value = 1, dim_param = 2 };
}  // namespace field
constexpr int ir_version_of_opset_13 = 7;
namespace attribute_type {
constexpr int number = 1, integer = 2, integers = 7;
}
namespace element_type {
constexpr int float32 = 1, int64 = 7;
}

void write_value(std::string& graph, field::Graph kind, std::string_view name, const std::vector<OnnxDim>& dims) {
  pbf_writer fields(graph);
  pbf_writer info(fields, kind);
  info.add_string(field::value_name, name.data(), name.size());
  pbf_writer type(info, field::value_type);
  pbf_writer tensor(type, field::tensor_type);
  tensor.add_enum(field::elem_type, element_type::float32);
  pbf_writer shape(tensor, field::shape);
  for (const OnnxDim& dim : dims) {
    pbf_writer axis(shape, field::dim);
    if (const auto* size = std::get_if<std::int64_t>(&dim)) {
      axis.add_int64(field::dim_value, *size);
    } else {
      axis.add_string(field::dim_param, std::get<std::string>(dim));
    }
  }
}

void write_tensor(std::string& graph, std::string_view name, std::span<const std::int64_t> shape, int type,
                  std::span<const std::byte> raw) {
  pbf_writer fields(graph);
  pbf_writer tensor(fields, field::initializer);
  for (const std::int64_t size : shape) tensor.add_int64(field::dims, size);
  tensor.add_enum(field::data_type, type);
  tensor.add_string(field::tensor_name, name.data(), name.size());
  tensor.add_bytes(field::raw_data, reinterpret_cast<const char*>(raw.data()), raw.size());
}

}  // namespace

void OnnxModel::add_input(std::string_view name, const std::vector<OnnxDim>& dims) {
  write_value(graph_, field::input, name, dims);
}

void OnnxModel::add_output(std::string_view name, const std::vector<OnnxDim>& dims) {
  write_value(graph_, field::output, name, dims);
}

void OnnxModel::add_tensor(std::string_view name, std::span<const std::int64_t> shape, std::span<const float> values) {
  const auto count = std::accumulate(shape.begin(), shape.end(), std::int64_t{1}, std::multiplies<>());
  if (count != static_cast<std::int64_t>(values.size())) {
    throw std::invalid_argument("ONNX tensor " + std::string(name) + ": its shape has " + std::to_string(count) +
                                " values, found " + std::to_string(values.size()));
  }
  write_tensor(graph_, name, shape, element_type::float32, std::as_bytes(values));
}

void OnnxModel::add_integers(std::string_view name, std::span<const std::int64_t> values) {
  const auto size = static_cast<std::int64_t>(values.size());
  write_tensor(graph_, name, std::span(&size, 1), element_type::int64, std::as_bytes(values));
}

void OnnxModel::add_node(std::string_view op_type, const std::vector<std::string>& inputs, const std::string& output,
                         const std::vector<OnnxAttribute>& attributes) {
  pbf_writer fields(graph_);
  pbf_writer node(fields, field::node);
  for (const std::string& input : inputs) node.add_string(field::node_input, input);
  node.add_string(field::node_output, output);
  node.add_string(field::node_name, output);
  node.add_string(field::op_type, op_type.data(), op_type.size());
  for (const auto& [name, value] : attributes) {
    pbf_writer attribute(node, field::attribute);
    attribute.add_string(field::attribute_name, name);
    if (const auto* integer = std::get_if<std::int64_t>(&value)) {
      attribute.add_int64(field::i, *integer);
      attribute.add_enum(field::type, attribute_type::integer);
    } else if (const auto* integers = std::get_if<std::vector<std::int64_t>>(&value)) {
      for (const std::int64_t one : *integers) attribute.add_int64(field::ints, one);
      attribute.add_enum(field::type, attribute_type::integers);
    } else {
      attribute.add_float(field::f, std::get<float>(value));
      attribute.add_enum(field::type, attribute_type::number);
    }
  }
}

std::string OnnxModel::bytes(std::string_view graph_name,
                             const std::vector<std::pair<std::string, std::string>>& metadata) const {
  std::string graph = graph_;
  pbf_writer(graph).add_string(field::graph_name, graph_name.data(), graph_name.size());
  std::string data;
  pbf_writer model(data);
  model.add_int64(field::ir_version, ir_version_of_opset_13);
  model.add_string(field::producer_name, "flowdarts");
  model.add_string(field::producer_version, version_text);
  model.add_message(field::graph, graph);
  {
    pbf_writer operators(model, field::opset_import);
    operators.add_int64(field::version, opset);
  }
  for (const auto& [key, value] : metadata) {
    pbf_writer entry(model, field::metadata);
    entry.add_string(field::key, key);
    entry.add_string(field::value, value);
  }
  return data;
}

}  // namespace flowdarts
