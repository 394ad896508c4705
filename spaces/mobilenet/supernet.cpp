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

  /// op_weights [1, columns].
  torch::Tensor forward(const torch::Tensor& x, const torch::Tensor& op_weights) {
    // One unbind: its backward fills in the zeros of the ops that were not run.
    const std::vector<torch::Tensor> weights = op_weights.flatten().unbind();
    torch::Tensor sum;
    for (std::size_t op = 0; op < conv_op_count; ++op) {
      if (!runs(op)) continue;
      const torch::Tensor output = candidate(op)->forward(x);
      if (observer_) show(op, shape().keeps_shape() ? output + x : output);
      add_term(sum, output * weights[op]);
    }
    if (observer_ && skip_left()) show(conv_op_count, x);
    return shape().keeps_shape() ? sum + x : sum;
  }

  void set_output_observer(const OutputObserver& observer) { observer_ = observer; }

 private:
  void show(std::size_t op, const torch::Tensor& output) const {
    observer_(static_cast<std::size_t>(layer()), 0, static_cast<std::int64_t>(op), output);
  }

  OutputObserver observer_;
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
  const torch::Tensor logits =
      backbone.forward(images, [&](Layer& layer, std::size_t number, const torch::Tensor& x) -> torch::Tensor {
        if (layer.runs_any()) return layer.forward(x, op_weights[number]);
        unread.push_back(op_weights[number].flatten());
        return x;
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

void OracleSupernet::set_masks(const std::vector<torch::Tensor>& masks) {
  mask(*backbone_, masks);
}

void OracleSupernet::set_output_observer(OutputObserver observer) {
  backbone_->for_each_layer([&](OracleLayer& layer, std::size_t) { layer.set_output_observer(observer); });
}

FusedSupernet::FusedSupernet(const SupernetSpec& spec, Precision precision)
    : backbone_(register_module("backbone", make_backbone<FusedLayer, FusedLayers>(spec))), precision_(precision) {}

FusedSupernet::~FusedSupernet() = default;

torch::Tensor FusedSupernet::forward(const torch::Tensor& images, const std::vector<torch::Tensor>& op_weights) {
  return run(*backbone_, precision_ == Precision::bf16 ? images.to(torch::kBFloat16) : images, op_weights);
}

std::vector<ArchShape> FusedSupernet::arch_shapes() const {
  return shapes_of_layers();
}

void FusedSupernet::set_statistics_updates(bool enabled) {
  flowdarts::set_statistics_updates(*this, enabled);
}

void FusedSupernet::set_masks(const std::vector<torch::Tensor>& masks) {
  mask(*backbone_, masks);
}

}  // namespace flowdarts::mobilenet
