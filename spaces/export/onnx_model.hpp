#pragma once
// ONNX files (Open Neural Network Exchange, onnx.proto of IR version 7): nodes, tensors, inputs and outputs, one after
// the other.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace flowdarts {

/// An attribute of a node: an integer, a list of integers or a number.
using OnnxAttribute = std::pair<std::string, std::variant<std::int64_t, std::vector<std::int64_t>, float>>;

/// One axis of an input or output: a size, or a name where the size is known only when the model runs.
using OnnxDim = std::variant<std::int64_t, std::string>;

/// A model under construction. Every value has a name of its own; a node must come after what it reads.
class OnnxModel {
 public:
  /// The operators are those of this version of ONNX' default operator set.
  static constexpr std::int64_t opset = 13;

  /// Of float32, as all inputs, outputs and tensors but those of add_integers().
  void add_input(std::string_view name, const std::vector<OnnxDim>& dims);
  void add_output(std::string_view name, const std::vector<OnnxDim>& dims);
  /// A constant; row-major. Throws std::invalid_argument where the number of values is not the shape's.
  void add_tensor(std::string_view name, std::span<const std::int64_t> shape, std::span<const float> values);
  /// A constant vector of int64.
  void add_integers(std::string_view name, std::span<const std::int64_t> values);
  /// A node of one output, which it is named after.
  void add_node(std::string_view op_type, const std::vector<std::string>& inputs, const std::string& output,
                const std::vector<OnnxAttribute>& attributes = {});

  /// The file. graph_name: for who looks at it; metadata: keys and values that runtimes hand out and do not read.
  [[nodiscard]] std::string bytes(std::string_view graph_name,
                                  const std::vector<std::pair<std::string, std::string>>& metadata = {}) const;

 private:
  std::string graph_;  // the fields of GraphProto
};

}  // namespace flowdarts
