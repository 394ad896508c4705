#pragma once
// The candidates of a layer: inverted bottlenecks (MBConv; Sandler et al., "MobileNetV2", CVPR 2018).

#include <cstdint>
#include <flowdarts/spaces/initialise.hpp>
#include <flowdarts/spaces/mixed_op/batch_norm.hpp>
#include <flowdarts/spaces/mixed_op/oracle.hpp>
#include <flowdarts/spaces/mobilenet/chain.hpp>
#include <memory>

namespace flowdarts::mobilenet {

/// The batch norm of this space: eps 1e-3, affine, tracked.
class Norm : public BatchNorm {
 public:
  explicit Norm(std::int64_t channels) : BatchNorm(channels, {.eps = 1e-3}) {}

  /// And ReLU6 behind it.
  torch::Tensor relu6(const torch::Tensor& x) {
    torch::Tensor y = forward(x);
    return torch::relu6_(y);
  }
};

/// A convolution without a bias that keeps the side at stride 1; initialised as ProxylessNAS does.
inline torch::nn::Conv2d make_conv(std::int64_t in, std::int64_t out, std::int64_t kernel, std::int64_t stride = 1,
                                   std::int64_t groups = 1) {
  const std::shared_ptr<torch::nn::Conv2dImpl> conv = std::make_shared<FanOutConv2d>(
      torch::nn::Conv2dOptions(in, out, kernel).stride(stride).padding(kernel / 2).groups(groups).bias(false));
  return conv;
}
inline torch::nn::Conv2d make_depthwise(std::int64_t channels, std::int64_t kernel, std::int64_t stride) {
  return make_conv(channels, channels, kernel, stride, channels);
}

/// MBConv without its shortcut: 1x1 convolution to `expansion` times the channels, depthwise convolution with the
/// stride, 1x1 convolution to the width of the layer; each with batch norm, the first two with ReLU6.
class MbConv : public CandidateOp {
 public:
  MbConv(const LayerShape& shape, std::int64_t kernel, std::int64_t expansion)
      : expand_conv_(register_module("expand_conv", make_conv(shape.in, expansion * shape.in, 1))),
        expand_norm_(register_module("expand_norm", std::make_shared<Norm>(expansion * shape.in))),
        depthwise_conv_(register_module("depthwise_conv", make_depthwise(expansion * shape.in, kernel, shape.stride))),
        depthwise_norm_(register_module("depthwise_norm", std::make_shared<Norm>(expansion * shape.in))),
        project_conv_(register_module("project_conv", make_conv(expansion * shape.in, shape.out, 1))),
        project_norm_(register_module("project_norm", std::make_shared<Norm>(shape.out))) {}
  MbConv(const LayerShape& shape, Op op) : MbConv(shape, kernel_of(op), expansion_of(op)) {}

  torch::Tensor forward(const torch::Tensor& x) override {
    const torch::Tensor expanded = expand_norm_->relu6(expand_conv_->forward(x));
    const torch::Tensor filtered = depthwise_norm_->relu6(depthwise_conv_->forward(expanded));
    return project_norm_->forward(project_conv_->forward(filtered));
  }

  // For the fused layer.
  [[nodiscard]] std::int64_t stride() const { return depthwise_conv_->options.stride()->front(); }
  [[nodiscard]] const torch::Tensor& expand_weight() const { return expand_conv_->weight; }
  [[nodiscard]] const torch::Tensor& depthwise_weight() const { return depthwise_conv_->weight; }
  [[nodiscard]] const torch::Tensor& project_weight() const { return project_conv_->weight; }
  [[nodiscard]] const Norm& expand_norm() const { return *expand_norm_; }
  [[nodiscard]] const Norm& depthwise_norm() const { return *depthwise_norm_; }
  [[nodiscard]] const Norm& project_norm() const { return *project_norm_; }

 private:
  torch::nn::Conv2d expand_conv_;
  std::shared_ptr<Norm> expand_norm_;
  torch::nn::Conv2d depthwise_conv_;
  std::shared_ptr<Norm> depthwise_norm_;
  torch::nn::Conv2d project_conv_;
  std::shared_ptr<Norm> project_norm_;
};

}  // namespace flowdarts::mobilenet
