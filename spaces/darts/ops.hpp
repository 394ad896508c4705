#pragma once
// The operations of the DARTS cells (Liu, Simonyan, Yang, ICLR 2019) and the layers around them. With stride 2 they
// halve the resolution, which must be even.

#include <array>
#include <flowdarts/spaces/darts/genotype.hpp>
#include <flowdarts/spaces/mixed_op/batch_norm.hpp>
#include <flowdarts/spaces/mixed_op/oracle.hpp>
#include <flowdarts/spaces/mixed_op/skip_dropout.hpp>
#include <flowdarts/spaces/support/error.hpp>
#include <memory>
#include <string>
#include <utility>

namespace flowdarts::darts {

/// What differs between the ops of a search and those of a stand-alone network.
struct OpOptions {
  BatchNormOptions norm;   // of every batch norm
  bool conv_bias = false;  // of the 1x1 convolutions
  bool pool_norm = false;  // a batch norm behind the pools
};

/// 1x1 convolution.
inline torch::nn::Conv2d pointwise_conv(std::int64_t in, std::int64_t out, bool bias, std::int64_t stride = 1) {
  return torch::nn::Conv2d(torch::nn::Conv2dOptions(in, out, 1).stride(stride).bias(bias));
}

/// A 1x1 convolution at stride 1, whatever its own, in the precision of x.
inline torch::Tensor conv_1x1(const torch::Tensor& x, const torch::nn::Conv2dImpl& conv) {
  const torch::Tensor bias = conv.bias.defined() ? conv.bias.to(x.scalar_type()) : torch::Tensor();
  return at::conv2d(x, conv.weight.to(x.scalar_type()), bias);
}

/// ReLU, 1x1 convolution, batch norm.
class ReluConvBn : public CandidateOp {
 public:
  ReluConvBn(std::int64_t in, std::int64_t out, const OpOptions& options)
      : conv_(register_module("conv", pointwise_conv(in, out, options.conv_bias))),
        norm_(register_module("norm", std::make_shared<BatchNorm>(out, options.norm))) {}

  torch::Tensor forward(const torch::Tensor& x) override { return norm_->forward(conv_->forward(torch::relu(x))); }

  // For the fused cell.
  [[nodiscard]] const torch::nn::Conv2dImpl& conv() const { return *conv_; }
  [[nodiscard]] const BatchNorm& norm() const { return *norm_; }

 private:
  torch::nn::Conv2d conv_;
  std::shared_ptr<BatchNorm> norm_;
};

/// ReLU; a 1x1 convolution of stride 2 on the image and one on the image less its first row and column, half of the
/// output channels each; batch norm.
class FactorizedReduce : public CandidateOp {
 public:
  FactorizedReduce(std::int64_t in, std::int64_t out, const OpOptions& options)
      : conv1_(register_module("conv1", pointwise_conv(in, out / 2, options.conv_bias, 2))),
        conv2_(register_module("conv2", pointwise_conv(in, out / 2, options.conv_bias, 2))),
        norm_(register_module("norm", std::make_shared<BatchNorm>(out, options.norm))) {}

  torch::Tensor forward(const torch::Tensor& x) override { return norm_->forward(convolve(torch::relu(x))); }

  /// What the batch norm reads of a rectified x.
  [[nodiscard]] torch::Tensor convolve(const torch::Tensor& rectified) const {
    // The pixels first, then convolutions of stride 1: on a CPU with AVX2 but not AVX-512, LibTorch 2.11's gradient of
    // a weight at stride 2, channels-last float32, was found wrong for 2 to 6 input channels (not for 8).
    const auto half = [&](std::int64_t start, const torch::nn::Conv2dImpl& conv) {
      const torch::Tensor pixels = rectified.slice(2, start, {}, 2).slice(3, start, {}, 2);
      return conv_1x1(pixels.contiguous(rectified.suggest_memory_format()), conv);
    };
    return torch::cat({half(0, *conv1_), half(1, *conv2_)}, 1);
  }

  // For the fused cell.
  [[nodiscard]] const torch::nn::Conv2dImpl& conv1() const { return *conv1_; }
  [[nodiscard]] const torch::nn::Conv2dImpl& conv2() const { return *conv2_; }
  [[nodiscard]] const BatchNorm& norm() const { return *norm_; }

 private:
  torch::nn::Conv2d conv1_, conv2_;
  std::shared_ptr<BatchNorm> norm_;
};

/// ReLU, depthwise convolution, 1x1 convolution, batch norm; the size kept but for the stride.
class SeparableConv : public torch::nn::Module {
 public:
  SeparableConv(std::int64_t channels, std::int64_t kernel, std::int64_t stride, std::int64_t dilation,
                const OpOptions& options)
      : depthwise_(register_module("depthwise", torch::nn::Conv2d(torch::nn::Conv2dOptions(channels, channels, kernel)
                                                                      .stride(stride)
                                                                      .padding(dilation * (kernel / 2))
                                                                      .dilation(dilation)
                                                                      .groups(channels)
                                                                      .bias(false)))),
        pointwise_(register_module("pointwise", pointwise_conv(channels, channels, options.conv_bias))),
        norm_(register_module("norm", std::make_shared<BatchNorm>(channels, options.norm))),
        stride_(stride),
        dilation_(dilation) {}

  torch::Tensor forward(const torch::Tensor& x) {
    return norm_->forward(pointwise_->forward(depthwise_->forward(torch::relu(x))));
  }

  // For the fused cell.
  [[nodiscard]] const torch::nn::Conv2dImpl& depthwise() const { return *depthwise_; }
  [[nodiscard]] const torch::nn::Conv2dImpl& pointwise() const { return *pointwise_; }
  [[nodiscard]] const BatchNorm& norm() const { return *norm_; }
  [[nodiscard]] std::int64_t stride() const { return stride_; }
  [[nodiscard]] std::int64_t dilation() const { return dilation_; }

 private:
  torch::nn::Conv2d depthwise_, pointwise_;
  std::shared_ptr<BatchNorm> norm_;
  std::int64_t stride_, dilation_;
};

/// sep_conv: two separable convolutions, the stride in the first.
class SepConv : public CandidateOp {
 public:
  SepConv(std::int64_t channels, std::int64_t kernel, std::int64_t stride, const OpOptions& options)
      : first_(register_module("first", std::make_shared<SeparableConv>(channels, kernel, stride, 1, options))),
        second_(register_module("second", std::make_shared<SeparableConv>(channels, kernel, 1, 1, options))) {}

  torch::Tensor forward(const torch::Tensor& x) override { return second_->forward(first_->forward(x)); }

  [[nodiscard]] const SeparableConv& first() const { return *first_; }
  [[nodiscard]] const SeparableConv& second() const { return *second_; }

 private:
  std::shared_ptr<SeparableConv> first_, second_;
};

/// dil_conv: one separable convolution of dilation 2.
class DilConv : public CandidateOp {
 public:
  DilConv(std::int64_t channels, std::int64_t kernel, std::int64_t stride, const OpOptions& options)
      : conv_(register_module("conv", std::make_shared<SeparableConv>(channels, kernel, stride, 2, options))) {}

  torch::Tensor forward(const torch::Tensor& x) override { return conv_->forward(x); }

  [[nodiscard]] const SeparableConv& conv() const { return *conv_; }

 private:
  std::shared_ptr<SeparableConv> conv_;
};

/// ReLU, 1x7 and 7x1 convolution, batch norm; of hand-made cells.
class Conv7x1 : public CandidateOp {
 public:
  Conv7x1(std::int64_t channels, std::int64_t stride, const OpOptions& options)
      : conv1_(register_module(
            "conv1",
            torch::nn::Conv2d(
                torch::nn::Conv2dOptions(channels, channels, {1, 7}).stride({1, stride}).padding({0, 3}).bias(false)))),
        conv2_(register_module(
            "conv2",
            torch::nn::Conv2d(
                torch::nn::Conv2dOptions(channels, channels, {7, 1}).stride({stride, 1}).padding({3, 0}).bias(false)))),
        norm_(register_module("norm", std::make_shared<BatchNorm>(channels, options.norm))) {}

  torch::Tensor forward(const torch::Tensor& x) override {
    return norm_->forward(conv2_->forward(conv1_->forward(torch::relu(x))));
  }

 private:
  torch::nn::Conv2d conv1_, conv2_;
  std::shared_ptr<BatchNorm> norm_;
};

/// 3x3 pool, then a batch norm where the options ask for one.
class Pool : public CandidateOp {
 public:
  Pool(Op op, std::int64_t channels, std::int64_t stride, const OpOptions& options) : op_(op), stride_(stride) {
    if (options.pool_norm) norm_ = register_module("norm", std::make_shared<BatchNorm>(channels, options.norm));
  }

  torch::Tensor forward(const torch::Tensor& x) override {
    const torch::Tensor pooled =
        op_ == Op::max_pool_3x3 ? torch::max_pool2d(x, /*kernel_size=*/3, stride_, /*padding=*/1)
                                : torch::avg_pool2d(x, /*kernel_size=*/3, stride_, /*padding=*/1, /*ceil_mode=*/false,
                                                    /*count_include_pad=*/false);
    return norm_ ? norm_->forward(pooled) : pooled;
  }

  // For the fused cell.
  [[nodiscard]] Op op() const { return op_; }
  /// Null where there is none.
  [[nodiscard]] const BatchNorm* norm() const { return norm_.get(); }

 private:
  Op op_;
  std::int64_t stride_;
  std::shared_ptr<BatchNorm> norm_;
};

/// The identity.
class SkipConnect : public CandidateOp {
 public:
  torch::Tensor forward(const torch::Tensor& x) override {
    const torch::Tensor kept = mask(x);
    return kept.defined() ? x * kept : x;
  }

  /// Of the passes to come in training mode.
  void set_dropout(const SkipDropout& dropout) { dropout_ = dropout; }

  /// What x is multiplied by: undefined without dropout.
  [[nodiscard]] torch::Tensor mask(const torch::Tensor& x) const {
    return is_training() && dropout_.rate > 0 ? skip_mask(x, dropout_) : torch::Tensor();
  }

 private:
  SkipDropout dropout_;
};

/// The op on `channels` channels; null for `none`.
inline std::shared_ptr<CandidateOp> make_op(Op op, std::int64_t channels, std::int64_t stride,
                                            const OpOptions& options) {
  switch (op) {
    case Op::none:
      return nullptr;
    case Op::max_pool_3x3:
    case Op::avg_pool_3x3:
      return std::make_shared<Pool>(op, channels, stride, options);
    case Op::skip_connect:
      if (stride == 1) return std::make_shared<SkipConnect>();
      return std::make_shared<FactorizedReduce>(channels, channels, options);
    case Op::sep_conv_3x3:
      return std::make_shared<SepConv>(channels, 3, stride, options);
    case Op::sep_conv_5x5:
      return std::make_shared<SepConv>(channels, 5, stride, options);
    case Op::sep_conv_7x7:
      return std::make_shared<SepConv>(channels, 7, stride, options);
    case Op::dil_conv_3x3:
      return std::make_shared<DilConv>(channels, 3, stride, options);
    case Op::dil_conv_5x5:
      return std::make_shared<DilConv>(channels, 5, stride, options);
    case Op::conv_7x1_1x7:
      return std::make_shared<Conv7x1>(channels, stride, options);
  }
  throw InputError("DARTS op: found " + std::to_string(static_cast<int>(op)) + ", expected 0 to 9");
}

/// What brings an input of a cell to its width: a factorised reduction where it has twice the resolution.
inline std::shared_ptr<CandidateOp> make_preprocess(std::int64_t in, std::int64_t out, bool halve,
                                                    const OpOptions& options) {
  if (halve) return std::make_shared<FactorizedReduce>(in, out, options);
  return std::make_shared<ReluConvBn>(in, out, options);
}

}  // namespace flowdarts::darts
