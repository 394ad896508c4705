#pragma once
// Everything of a NAS-Bench-201 network but its cells: the search supernets and the stand-alone network share it.

#include <cstdint>
#include <flowdarts/spaces/mixed_op/batch_norm.hpp>
#include <flowdarts/spaces/support/error.hpp>
#include <memory>
#include <string>

namespace flowdarts::nas_bench_201 {

inline torch::nn::Conv2dOptions conv_options(std::int64_t in, std::int64_t out, std::int64_t kernel,
                                             std::int64_t stride = 1) {
  return torch::nn::Conv2dOptions(in, out, kernel).stride(stride).padding(kernel / 2).bias(false);
}

/// How the layers around the cells are computed: as LibTorch does. The fused supernet has its own way.
struct PlainLayers {
  static torch::Tensor conv(torch::nn::Conv2dImpl& conv, const torch::Tensor& x) { return conv.forward(x); }
  /// 3x3, stride 1, as many channels as before, of an x that has no negative element.
  static torch::Tensor conv_of_rectified(torch::nn::Conv2dImpl& conv, const torch::Tensor& x) {
    return conv.forward(x);
  }
  /// 2x2 average pool with stride 2.
  static torch::Tensor halve(const torch::Tensor& x) { return torch::avg_pool2d(x, /*kernel_size=*/2, /*stride=*/2); }
  static torch::Tensor norm(BatchNorm& norm, const torch::Tensor& x) { return norm.forward(x); }
  static torch::Tensor norm_relu(BatchNorm& norm, const torch::Tensor& x) { return norm.forward(x).relu_(); }
  /// norm(x) + y
  static torch::Tensor norm_add(BatchNorm& norm, const torch::Tensor& x, const torch::Tensor& y) {
    return y + norm.forward(x);
  }
};

/// The fixed block between two stages, channels to 2 channels at half the resolution: (ReLU, 3x3 convolution, batch
/// norm) twice, plus a 2x2 average pool with a 1x1 convolution as the shortcut. Nothing follows the sum.
template <class Layers>
class ResidualBlock : public torch::nn::Module {
 public:
  explicit ResidualBlock(std::int64_t channels)
      : conv1_(register_module("conv1", torch::nn::Conv2d(conv_options(channels, 2 * channels, 3, 2)))),
        norm1_(register_module("norm1", std::make_shared<BatchNorm>(2 * channels))),
        conv2_(register_module("conv2", torch::nn::Conv2d(conv_options(2 * channels, 2 * channels, 3)))),
        norm2_(register_module("norm2", std::make_shared<BatchNorm>(2 * channels))),
        shortcut_(register_module("shortcut", torch::nn::Conv2d(conv_options(channels, 2 * channels, 1)))) {}

  torch::Tensor forward(const torch::Tensor& x) {
    const torch::Tensor half = Layers::norm_relu(*norm1_, Layers::conv(*conv1_, torch::relu(x)));
    const torch::Tensor shortcut = Layers::conv(*shortcut_, Layers::halve(x));
    return Layers::norm_add(*norm2_, Layers::conv_of_rectified(*conv2_, half), shortcut);
  }

 private:
  torch::nn::Conv2d conv1_;
  std::shared_ptr<BatchNorm> norm1_;
  torch::nn::Conv2d conv2_;
  std::shared_ptr<BatchNorm> norm2_;
  torch::nn::Conv2d shortcut_;
};

/// Stem, three stages of cells of C, 2C and 4C channels with a residual block between two, batch norm, ReLU, global
/// average pool, linear classifier. Cell is a module whose forward(x, arguments...) keeps the shape of x.
template <class Cell, class Layers>
class Backbone : public torch::nn::Module {
 public:
  /// cells: number in each stage. make_cell(channels) makes a cell, a std::shared_ptr<Cell>.
  template <class MakeCell>
  Backbone(std::int64_t channels, std::int64_t cells, std::int64_t classes, const MakeCell& make_cell) {
    require_positive("channels", channels);
    require_positive("cells", cells);
    require_positive("classes", classes);
    stem_conv_ = register_module("stem_conv", torch::nn::Conv2d(conv_options(3, channels, 3)));
    stem_norm_ = register_module("stem_norm", std::make_shared<BatchNorm>(channels));
    for (int stage = 0; stage < 3; ++stage) {
      if (stage > 0) {
        blocks_->push_back(std::make_shared<ResidualBlock<Layers>>(channels));
        channels *= 2;
      }
      for (std::int64_t i = 0; i < cells; ++i) blocks_->push_back(make_cell(channels));
    }
    register_module("blocks", blocks_);
    last_norm_ = register_module("last_norm", std::make_shared<BatchNorm>(channels));
    classifier_ = register_module("classifier", torch::nn::Linear(channels, classes));
  }

  /// images [B, 3, H, W], H and W multiples of 4, in any memory format. Returns logits [B, classes].
  template <class... Arguments>
  torch::Tensor forward(const torch::Tensor& images, const Arguments&... arguments) {
    if (images.dim() != 4 || images.size(1) != 3 || images.size(2) % 4 != 0 || images.size(3) % 4 != 0) {
      throw InputError("NAS-Bench-201 network: found images of shape " + c10::str(images.sizes()) +
                       ", expected [batch, 3, height, width] with height and width multiples of 4");
    }
    torch::Tensor x = Layers::norm(*stem_norm_, Layers::conv(*stem_conv_, images));
    for (const auto& block : *blocks_) {
      if (auto* cell = block->template as<Cell>()) {
        x = cell->forward(x, arguments...);
      } else {
        x = block->template as<ResidualBlock<Layers>>()->forward(x);
      }
    }
    return classifier_->forward(
        Layers::norm_relu(*last_norm_, x).mean({2, 3}, /*keepdim=*/false, classifier_->weight.scalar_type()));
  }

 private:
  static void require_positive(const char* name, std::int64_t value) {
    if (value < 1) {
      throw InputError("NAS-Bench-201 network: found " + std::to_string(value) + " " + name + ", expected at least 1");
    }
  }

  torch::nn::Conv2d stem_conv_{nullptr};
  std::shared_ptr<BatchNorm> stem_norm_;
  torch::nn::ModuleList blocks_;
  std::shared_ptr<BatchNorm> last_norm_;
  torch::nn::Linear classifier_{nullptr};
};

}  // namespace flowdarts::nas_bench_201
