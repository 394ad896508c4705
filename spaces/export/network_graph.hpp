#pragma once
// The layers that the spaces' networks are made of, as ONNX operators in evaluation mode.

#include <array>
#include <cstdint>
#include <flowdarts/spaces/export/onnx_model.hpp>
#include <flowdarts/spaces/weights.hpp>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace flowdarts {

/// What of a network's ONNX form is left to choose.
struct OnnxOptions {
  /// A batch norm right behind a convolution becomes part of it: its weight is scaled and it gets a bias.
  bool fold_bn = false;
  /// Beside the logits, the last feature map of every resolution: outputs "stride_4", "stride_8", ..., as a detector's
  /// feature pyramid reads them.
  bool features = false;
  /// Keys and values that the file carries along.
  std::vector<std::pair<std::string, std::string>> metadata;
};

/// Of a convolution; what its weight does not say. Odd kernels are padded to keep the side at stride 1.
struct ConvShape {
  std::array<std::int64_t, 2> stride{1, 1};
  std::int64_t dilation = 1;
  bool depthwise = false;
};

/// The network as a graph under construction. Values are [B, C, H, W] but for the logits [B, classes]; batch, height
/// and width are open. Modules are named as in the network, whose weights must outlive this. A weight that is not there
/// or never used is a defect of the caller: std::logic_error.
class NetworkGraph {
 public:
  /// The name of a value in the graph.
  using Value = std::string;

  NetworkGraph(const Weights& weights, const OnnxOptions& options);

  /// The input, images [B, 3, H, W].
  [[nodiscard]] Value images() const { return "images"; }

  Value conv(const Value& x, const std::string& module, const ConvShape& shape = {});
  Value norm(const Value& x, const std::string& module, double eps);
  /// A convolution and its batch norm.
  Value conv_norm(const Value& x, const std::string& conv, const std::string& norm, double eps,
                  const ConvShape& shape = {});
  /// Several convolutions of one size whose outputs, one after the other, are the channels of a batch norm; xs: what
  /// each reads.
  Value convs_norm(const std::vector<Value>& xs, const std::vector<std::string>& convs, const std::string& norm,
                   double eps, const ConvShape& shape);
  Value relu(const Value& x);
  Value relu6(const Value& x);
  Value add(const Value& x, const Value& y);
  Value concat(const std::vector<Value>& xs);
  /// Padding does not count.
  Value average_pool(const Value& x, std::int64_t kernel, std::int64_t stride, std::int64_t padding);
  Value max_pool(const Value& x, std::int64_t kernel, std::int64_t stride, std::int64_t padding);
  /// Of the shape of x.
  Value zeros_like(const Value& x);
  /// Less its first row and column.
  Value drop_first_row_and_column(const Value& x);

  /// Says that x is a feature map at 1/stride of the images' resolution; of each resolution the last one counts.
  void feature(std::int64_t stride, std::int64_t channels, const Value& x);

  /// Global average pool and linear classifier: the output "logits".
  void classify(const Value& x, const std::string& module);
  /// `module` and all in it take no part in evaluation.
  void leave_out(const std::string& module);

  /// The file.
  [[nodiscard]] std::string finish(const std::string& name);

 private:
  struct Scale {
    std::vector<float> factor, shift;  // of each channel
  };
  struct Feature {
    std::int64_t channels;
    Value value;
  };

  const Weight& weight(const std::string& name);
  [[nodiscard]] bool has(const std::string& name) const { return weights_.contains(name); }
  /// The tensor `name` as a constant of the graph.
  std::string constant(const std::string& name);
  Scale scale_of(const std::string& norm, double eps);
  Value conv_of(const Value& x, const std::string& module, const ConvShape& shape, const std::string& weight_name,
                const std::string& bias_name);
  Value folded_conv(const Value& x, const std::string& module, const ConvShape& shape, const Scale& scale,
                    std::size_t first_channel);
  /// A node of an own name, which begins with `hint`.
  Value node(const std::string& hint, std::string_view op_type, const std::vector<Value>& inputs,
             const std::vector<OnnxAttribute>& attributes = {});

  const Weights& weights_;
  OnnxOptions options_;
  OnnxModel model_;
  std::set<std::string> used_;
  std::set<std::string> constants_;
  std::map<std::string, int> names_;
  std::map<std::int64_t, Feature> features_;
};

}  // namespace flowdarts
