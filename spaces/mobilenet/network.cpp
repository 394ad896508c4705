#include <flowdarts/spaces/mobilenet/backbone.hpp>
#include <flowdarts/spaces/mobilenet/network.hpp>

namespace flowdarts::mobilenet {

/// An MBConv with its shortcut, where it has one.
class NetworkLayer : public MbConv {
 public:
  NetworkLayer(const LayerShape& shape, Op op) : MbConv(shape, op), shortcut_(shape.keeps_shape()) {}

  torch::Tensor forward(const torch::Tensor& x) override {
    const torch::Tensor y = MbConv::forward(x);
    return shortcut_ ? y + x : y;
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

torch::Tensor Network::forward(const torch::Tensor& images) {
  return backbone_->forward(images,
                            [](NetworkLayer& layer, std::size_t, const torch::Tensor& x) { return layer.forward(x); });
}

}  // namespace flowdarts::mobilenet
