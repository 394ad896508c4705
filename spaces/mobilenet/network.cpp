#include <flowdarts/spaces/mobilenet/backbone.hpp>
#include <flowdarts/spaces/mobilenet/network.hpp>

namespace flowdarts::mobilenet {

/// An MBConv with its shortcut, where it has one.
class NetworkLayer : public MbConv {
 public:
  NetworkLayer(const LayerShape& shape, Op op) : MbConv(shape, op), shortcut_(shape.keeps_shape()) {}

  /// `layer` has draws of its own.
  torch::Tensor with_shortcut(const torch::Tensor& x, const DropPath& drop_path, std::uint64_t layer) {
    const torch::Tensor y = MbConv::forward(x);
    if (!shortcut_) return y;
    return (is_training() && drop_path.probability > 0 ? drop_samples(y, drop_path, layer) : y) + x;
  }

 private:
  bool shortcut_;
};

Network::Network(const Genotype& genotype, std::int64_t classes, const Widths& widths, std::int64_t stem_stride)
    : backbone_(register_module(
          "backbone",
          std::make_shared<Backbone<NetworkLayer, PlainLayers>>(
              widths, classes, stem_stride, [&](int layer, const LayerShape& shape) -> std::shared_ptr<NetworkLayer> {
                const Op op = genotype.ops[static_cast<std::size_t>(layer)];
                if (op != Op::skip) return std::make_shared<NetworkLayer>(shape, op);
                if (may_skip(layer)) return nullptr;
                throw InputError("MobileNet-like network, layer " + std::to_string(layer) +
                                 ": found skip, expected an MBConv: this layer changes width or "
                                 "resolution");
              }))) {}

Network::~Network() = default;

torch::Tensor Network::forward(const torch::Tensor& images, const Dropout& dropout) {
  const auto run = [&](NetworkLayer& layer, std::size_t index, const torch::Tensor& x) {
    const double depth = static_cast<double>(index + 1) / (layer_count + 1);
    return layer.with_shortcut(x, {depth * dropout.layers.probability, dropout.layers.seed}, index);
  };
  return backbone_->forward(images, run, [&](const torch::Tensor& features) {
    const bool drops = is_training() && dropout.features > 0;
    return drops ? drop_elements(features, dropout.features, dropout.layers.seed) : features;
  });
}

}  // namespace flowdarts::mobilenet
