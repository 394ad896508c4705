#pragma once
// Everything of a MobileNet-like network but its searchable layers: the search supernets and the stand-alone network
// share it.

#include <cstdint>
#include <flowdarts/spaces/mobilenet/ops.hpp>
#include <flowdarts/spaces/support/error.hpp>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace flowdarts::mobilenet {

/// How the layers around the choices are computed: as LibTorch does. The fused supernet has its own way.
struct PlainLayers {
  static torch::Tensor conv(torch::nn::Conv2dImpl& conv, const torch::Tensor& x) { return conv.forward(x); }
  static torch::Tensor depthwise(torch::nn::Conv2dImpl& conv, const torch::Tensor& x) { return conv.forward(x); }
  static torch::Tensor norm(Norm& norm, const torch::Tensor& x) { return norm.forward(x); }
  static torch::Tensor norm_relu6(Norm& norm, const torch::Tensor& x) { return norm.relu6(x); }
};

/// Stage 0, an MBConv of expansion 1: depthwise 3x3 convolution, batch norm, ReLU6; 1x1 convolution, batch norm. It has
/// no shortcut.
template <class Layers>
class FixedBlock : public torch::nn::Module {
 public:
  FixedBlock(std::int64_t in, std::int64_t out)
      : depthwise_conv_(register_module("depthwise_conv", make_depthwise(in, 3, 1))),
        depthwise_norm_(register_module("depthwise_norm", std::make_shared<Norm>(in))),
        project_conv_(register_module("project_conv", make_conv(in, out, 1))),
        project_norm_(register_module("project_norm", std::make_shared<Norm>(out))) {}

  torch::Tensor forward(const torch::Tensor& x) {
    const torch::Tensor filtered = Layers::norm_relu6(*depthwise_norm_, Layers::depthwise(*depthwise_conv_, x));
    return Layers::norm(*project_norm_, Layers::conv(*project_conv_, filtered));
  }

 private:
  torch::nn::Conv2d depthwise_conv_;
  std::shared_ptr<Norm> depthwise_norm_;
  torch::nn::Conv2d project_conv_;
  std::shared_ptr<Norm> project_norm_;
};

/// Stem (3x3 convolution), stage 0, the searchable layers, head (1x1 convolution, global average pool), linear
/// classifier; stem and head with batch norm and ReLU6. Layer is a module.
template <class Layer, class Layers>
class Backbone : public torch::nn::Module {
 public:
  /// make_layer(layer, shape) makes a searchable layer, a std::shared_ptr<Layer>; null where there is none.
  template <class MakeLayer>
  Backbone(const Widths& widths, std::int64_t classes, std::int64_t stem_stride, const MakeLayer& make_layer) {
    require_positive("channels of the stem", widths.stem);
    for (const int width : widths.stages) require_positive("channels of a stage", width);
    require_positive("channels of the head", widths.head);
    require_positive("classes", classes);
    if (stem_stride != 1 && stem_stride != 2) {
      throw InputError("MobileNet-like network: found a stem of stride " + std::to_string(stem_stride) +
                       ", expected 1 or 2");
    }
    stem_conv_ = register_module("stem_conv", make_conv(3, widths.stem, 3, stem_stride));
    stem_norm_ = register_module("stem_norm", std::make_shared<Norm>(widths.stem));
    fixed_ = register_module("stage0", std::make_shared<FixedBlock<Layers>>(widths.stem, widths.stages[0]));
    for (int layer = 0; layer < layer_count; ++layer) {
      layers_.push_back(make_layer(layer, shape_of(layer, widths)));
      if (layers_.back()) register_module("layer" + std::to_string(layer), layers_.back());
    }
    const int last = widths.stages.back();
    head_conv_ = register_module("head_conv", make_conv(last, widths.head, 1));
    head_norm_ = register_module("head_norm", std::make_shared<Norm>(widths.head));
    const std::shared_ptr<torch::nn::LinearImpl> linear = std::make_shared<ZeroBiasLinear>(widths.head, classes);
    classifier_ = register_module("classifier", torch::nn::Linear(linear));
  }

  /// images [B, 3, H, W] in any memory format. run(layer module, layer, x) is what a searchable layer makes of x;
  /// alter(features) what the classifier sees of the pooled features [B, head]. Returns logits [B, classes].
  template <class Run, class Alter = std::identity>
  torch::Tensor forward(const torch::Tensor& images, const Run& run, const Alter& alter = {}) {
    if (images.dim() != 4 || images.size(1) != 3) {
      throw InputError("MobileNet-like network: found images of shape " + c10::str(images.sizes()) +
                       ", expected [batch, 3, height, width]");
    }
    torch::Tensor x = Layers::norm_relu6(*stem_norm_, Layers::conv(*stem_conv_, images));
    x = fixed_->forward(x);
    for (std::size_t layer = 0; layer < layers_.size(); ++layer) {
      if (layers_[layer]) x = run(*layers_[layer], layer, x);
    }
    x = Layers::norm_relu6(*head_norm_, Layers::conv(*head_conv_, x));
    return classifier_->forward(alter(x.mean({2, 3}, /*keepdim=*/false, classifier_->weight.scalar_type())));
  }

  /// f(layer module, layer) for those that are there.
  template <class F>
  void for_each_layer(const F& f) {
    for (std::size_t layer = 0; layer < layers_.size(); ++layer) {
      if (layers_[layer]) f(*layers_[layer], layer);
    }
  }

 private:
  static void require_positive(const char* name, std::int64_t value) {
    if (value < 1) {
      throw InputError("MobileNet-like network: found " + std::to_string(value) + " " + name + ", expected at least 1");
    }
  }

  torch::nn::Conv2d stem_conv_{nullptr};
  std::shared_ptr<Norm> stem_norm_;
  std::shared_ptr<FixedBlock<Layers>> fixed_;
  std::vector<std::shared_ptr<Layer>> layers_;
  torch::nn::Conv2d head_conv_{nullptr};
  std::shared_ptr<Norm> head_norm_;
  torch::nn::Linear classifier_{nullptr};
};

}  // namespace flowdarts::mobilenet
