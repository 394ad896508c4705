#include <flowdarts/spaces/mixed_op/depthwise.hpp>
#include <flowdarts/spaces/mobilenet/backbone.hpp>
#include <flowdarts/spaces/mobilenet/candidate_layer.hpp>
#include <flowdarts/spaces/mobilenet/fused_layer.hpp>
#include <flowdarts/spaces/mobilenet/fused_norm.hpp>
#include <flowdarts/spaces/mobilenet/supernet.hpp>

namespace flowdarts::mobilenet {

class OracleLayer : public CandidateLayer {
 public:
  using CandidateLayer::CandidateLayer;

 private:
  torch::Tensor mix(const torch::Tensor& x, const torch::Tensor& op_weights) override {
    return mix_op_by_op(x, op_weights);
  }
};

/// The layers around the choices, in the precision of their input.
struct FusedLayers {
  static torch::Tensor conv(torch::nn::Conv2dImpl& conv, const torch::Tensor& x) {
    return at::conv2d(x, conv.weight.to(x.scalar_type()), {}, conv.options.stride(),
                      std::get<torch::ExpandingArray<2>>(conv.options.padding()));
  }
  static torch::Tensor depthwise(torch::nn::Conv2dImpl& conv, const torch::Tensor& x) {
    return depthwise_conv2d(x, conv.weight,
                            {.stride = conv.options.stride()->front(), .padding = conv.weight.size(2) / 2});
  }
  static torch::Tensor norm(Norm& norm, const torch::Tensor& x) { return norm_clamp(x, norm); }
  static torch::Tensor norm_relu6(Norm& norm, const torch::Tensor& x) { return norm_clamp(x, norm, mixed_op::relu6); }
};

namespace {

std::vector<ArchShape> shapes_of_layers() {
  std::vector<ArchShape> shapes;
  for (int layer = 0; layer < layer_count; ++layer) shapes.push_back({1, columns_of(layer)});
  return shapes;
}

void check_op_weights(const std::vector<torch::Tensor>& op_weights) {
  TORCH_CHECK(op_weights.size() == layer_count, "the MobileNet-like supernet takes op weights of 21 layers, found ",
              op_weights.size());
  for (int layer = 0; layer < layer_count; ++layer) {
    const torch::Tensor& own = op_weights[static_cast<std::size_t>(layer)];
    TORCH_CHECK(own.sizes() == at::IntArrayRef({1, columns_of(layer)}), "layer ", layer,
                " of the MobileNet-like supernet takes op weights [1, ", columns_of(layer), "], found ", own.sizes());
  }
}

template <class Layer, class Layers>
std::shared_ptr<Backbone<Layer, Layers>> make_backbone(const SupernetSpec& spec) {
  return std::make_shared<Backbone<Layer, Layers>>(
      spec.widths, spec.classes, spec.stem_stride,
      [&](int layer, const LayerShape& shape) { return std::make_shared<Layer>(spec, layer, shape); });
}

template <class Layer, class Layers>
torch::Tensor run(Backbone<Layer, Layers>& backbone, const torch::Tensor& images,
                  const std::vector<torch::Tensor>& op_weights) {
  check_op_weights(op_weights);
  std::vector<torch::Tensor> unread;
  const torch::Tensor logits = backbone.forward(images, [&](Layer& layer, std::size_t number, const torch::Tensor& x) {
    if (!layer.runs_any()) unread.push_back(op_weights[number].flatten());
    return layer.forward(x, op_weights[number]);
  });
  // Op weights that no layer reads have a gradient of 0, too, and not none.
  return unread.empty() ? logits : logits + 0 * torch::cat(unread).sum();
}

template <class Layer, class Layers>
void mask(Backbone<Layer, Layers>& backbone, const std::vector<torch::Tensor>& masks) {
  check_op_weights(masks);
  backbone.for_each_layer([&](Layer& layer, std::size_t number) { layer.set_mask(masks[number]); });
}

}  // namespace

OracleSupernet::OracleSupernet(const SupernetSpec& spec)
    : backbone_(register_module("backbone", make_backbone<OracleLayer, PlainLayers>(spec))) {}

OracleSupernet::~OracleSupernet() = default;

torch::Tensor OracleSupernet::forward(const torch::Tensor& images, const std::vector<torch::Tensor>& op_weights) {
  return run(*backbone_, images, op_weights);
}

std::vector<ArchShape> OracleSupernet::arch_shapes() const {
  return shapes_of_layers();
}

void OracleSupernet::set_statistics_updates(bool enabled) {
  flowdarts::set_statistics_updates(*this, enabled);
}

void OracleSupernet::share_statistics(const std::shared_ptr<const RankSum>& sum) {
  flowdarts::share_statistics(*this, sum);
}

void OracleSupernet::set_masks(const std::vector<torch::Tensor>& masks) {
  mask(*backbone_, masks);
}

void OracleSupernet::set_skip_dropout(const SkipDropout& dropout) {
  backbone_->for_each_layer([&](OracleLayer& layer, std::size_t) { layer.set_skip_dropout(dropout); });
}

void OracleSupernet::set_output_observer(OutputObserver observer) {
  backbone_->for_each_layer([&](OracleLayer& layer, std::size_t) { layer.set_output_observer(observer); });
}

FusedSupernet::FusedSupernet(const SupernetSpec& spec, Precision precision)
    : backbone_(register_module("backbone", make_backbone<FusedLayer, FusedLayers>(spec))), precision_(precision) {}

FusedSupernet::~FusedSupernet() = default;

torch::Tensor FusedSupernet::forward(const torch::Tensor& images, const std::vector<torch::Tensor>& op_weights) {
  const bool in_bf16 = precision_ == Precision::bf16 && !shows_;
  return run(*backbone_, in_bf16 ? images.to(torch::kBFloat16) : images, op_weights);
}

std::vector<ArchShape> FusedSupernet::arch_shapes() const {
  return shapes_of_layers();
}

void FusedSupernet::set_statistics_updates(bool enabled) {
  flowdarts::set_statistics_updates(*this, enabled);
}

void FusedSupernet::share_statistics(const std::shared_ptr<const RankSum>& sum) {
  flowdarts::share_statistics(*this, sum);
}

void FusedSupernet::compose() {
  backbone_->for_each_layer([](FusedLayer& layer, std::size_t) { layer.compose(); });
}

void FusedSupernet::set_masks(const std::vector<torch::Tensor>& masks) {
  mask(*backbone_, masks);
}

void FusedSupernet::set_skip_dropout(const SkipDropout& dropout) {
  backbone_->for_each_layer([&](FusedLayer& layer, std::size_t) { layer.set_skip_dropout(dropout); });
}

void FusedSupernet::set_output_observer(OutputObserver observer) {
  shows_ = static_cast<bool>(observer);
  backbone_->for_each_layer([&](FusedLayer& layer, std::size_t) { layer.set_output_observer(observer); });
}

}  // namespace flowdarts::mobilenet
