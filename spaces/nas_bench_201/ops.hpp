#pragma once
// The five candidate operations of NAS-Bench-201 (Dong and Yang, ICLR 2020) and the order of their columns.

#include <array>
#include <flowdarts/spaces/mixed_op/batch_norm.hpp>
#include <flowdarts/spaces/mixed_op/oracle.hpp>
#include <flowdarts/spaces/support/error.hpp>
#include <memory>
#include <string>

namespace flowdarts::nas_bench_201 {

/// The column of each op in an architecture matrix.
namespace column {
inline constexpr int none = 0;          // zero
inline constexpr int skip_connect = 1;  // identity
inline constexpr int nor_conv_1x1 = 2;  // ReLU, 1x1 convolution, batch norm
inline constexpr int nor_conv_3x3 = 3;  // ReLU, 3x3 convolution, batch norm
inline constexpr int avg_pool_3x3 = 4;  // 3x3 average; padding does not count
inline constexpr int count = 5;
}  // namespace column

/// An edge of the cell: its op reads node `from` and adds to node `to`.
struct CellEdge {
  int to;
  int from;
};

/// Node 0 is the cell's input, node 3 its output. The order is that of the rows of an architecture matrix.
inline constexpr int cell_nodes = 4;
inline constexpr std::array<CellEdge, 6> cell_edges{{{1, 0}, {2, 0}, {2, 1}, {3, 0}, {3, 1}, {3, 2}}};

/// ReLU, convolution (stride 1, same size, C to C), batch norm.
class ReluConvBn : public CandidateOp {
 public:
  ReluConvBn(std::int64_t channels, std::int64_t kernel, bool conv_bias, BatchNormOptions norm)
      : conv_(register_module(
            "conv", torch::nn::Conv2d(
                        torch::nn::Conv2dOptions(channels, channels, kernel).padding(kernel / 2).bias(conv_bias)))),
        norm_(register_module("norm", std::make_shared<BatchNorm>(channels, norm))) {}

  torch::Tensor forward(const torch::Tensor& x) override { return norm_->forward(conv_->forward(torch::relu(x))); }

  // For the fused cell.
  [[nodiscard]] const torch::nn::Conv2dImpl& conv() const { return *conv_; }
  [[nodiscard]] const BatchNorm& norm() const { return *norm_; }

 private:
  torch::nn::Conv2d conv_;
  std::shared_ptr<BatchNorm> norm_;
};

class SkipConnect : public CandidateOp {
 public:
  torch::Tensor forward(const torch::Tensor& x) override { return x; }
  [[nodiscard]] bool is_identity() const override { return true; }
};

class AvgPool3x3 : public CandidateOp {
 public:
  torch::Tensor forward(const torch::Tensor& x) override {
    return torch::avg_pool2d(x, /*kernel_size=*/3, /*stride=*/1, /*padding=*/1, /*ceil_mode=*/false,
                             /*count_include_pad=*/false);
  }
};

/// The op of a column on `channels` channels; null for `none`.
inline std::shared_ptr<CandidateOp> make_op(int op, std::int64_t channels, bool conv_bias, BatchNormOptions norm) {
  switch (op) {
    case column::none:
      return nullptr;
    case column::skip_connect:
      return std::make_shared<SkipConnect>();
    case column::nor_conv_1x1:
      return std::make_shared<ReluConvBn>(channels, 1, conv_bias, norm);
    case column::nor_conv_3x3:
      return std::make_shared<ReluConvBn>(channels, 3, conv_bias, norm);
    case column::avg_pool_3x3:
      return std::make_shared<AvgPool3x3>();
    default:
      throw InputError("NAS-Bench-201 op: found column " + std::to_string(op) + ", expected 0 to 4");
  }
}

}  // namespace flowdarts::nas_bench_201
