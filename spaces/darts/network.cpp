#include <flowdarts/spaces/darts/backbone.hpp>
#include <flowdarts/spaces/darts/network.hpp>
#include <flowdarts/spaces/darts/ops.hpp>
#include <string>

namespace flowdarts::darts {

class NetworkCell : public torch::nn::Module {
 public:
  NetworkCell(const Cell& cell, const CellPlace& place) : cell_(cell) {
    const OpOptions options;
    inputs_[0] = register_module(
        "preprocess0", make_preprocess(place.channels_prev_prev, place.channels, place.reduction_prev, options));
    inputs_[1] =
        register_module("preprocess1", make_preprocess(place.channels_prev, place.channels, /*halve=*/false, options));
    for (std::size_t i = 0; i < cell.inputs.size(); ++i) {
      const auto& [op, state] = cell.inputs[i];
      ops_.push_back(
          register_module("op" + std::to_string(i),
                          make_op(op, place.channels, place.reduction && state < input_states ? 2 : 1, options)));
    }
  }

  /// first_op: the number of the network's ops before this cell's.
  torch::Tensor forward(const torch::Tensor& s0, const torch::Tensor& s1, const DropPath& drop_path,
                        std::uint64_t first_op) {
    std::vector<torch::Tensor> states{inputs_[0]->forward(s0), inputs_[1]->forward(s1)};
    const auto term = [&](std::size_t i) {
      const torch::Tensor x = ops_[i]->forward(states[static_cast<std::size_t>(cell_.inputs[i].state)]);
      const bool drops = is_training() && drop_path.probability > 0 && ops_[i]->as<SkipConnect>() == nullptr;
      return drops ? drop_samples(x, drop_path, first_op + i) : x;
    };
    for (std::size_t i = 0; i < ops_.size(); i += 2) states.push_back(term(i) + term(i + 1));
    std::vector<torch::Tensor> output;
    for (const int state : cell_.concat) output.push_back(states[static_cast<std::size_t>(state)]);
    return torch::cat(output, 1);
  }

 private:
  Cell cell_;
  std::array<std::shared_ptr<CandidateOp>, input_states> inputs_;
  std::vector<std::shared_ptr<CandidateOp>> ops_;
};

/// ReLU, 5x5 average pool to 2 x 2, 1x1 convolution, 2x2 convolution, linear classifier.
class AuxiliaryHead : public torch::nn::Module {
 public:
  AuxiliaryHead(const NetworkSpec& spec, std::int64_t channels)
      : stride_(spec.stem == Stem::cifar ? 3 : 2),
        conv1_(register_module("conv1", pointwise_conv(channels, 128, /*bias=*/false))),
        norm1_(register_module("norm1", std::make_shared<BatchNorm>(128))),
        conv2_(register_module("conv2", torch::nn::Conv2d(torch::nn::Conv2dOptions(128, 768, 2).bias(false)))),
        classifier_(register_module("classifier", torch::nn::Linear(768, spec.classes))) {
    if (spec.stem == Stem::cifar || spec.auxiliary_norm) {
      norm2_ = register_module("norm2", std::make_shared<BatchNorm>(768));
    }
  }

  torch::Tensor forward(const torch::Tensor& x) {
    torch::Tensor y = x.size(2) < 5 || x.size(3) < 5 ? torch::Tensor() : torch::avg_pool2d(torch::relu(x), 5, stride_);
    if (!y.defined() || y.size(2) != 2 || y.size(3) != 2) {
      throw InputError("DARTS network: the auxiliary classifier: found " + std::to_string(x.size(2)) + " x " +
                       std::to_string(x.size(3)) + " pixels behind the second reduction cell, expected " +
                       (stride_ == 3 ? "8 x 8 (images of 32 x 32)" : "7 x 7 (images of 224 x 224)"));
    }
    y = conv2_->forward(norm1_->forward(conv1_->forward(y)).relu_());
    if (norm2_) y = norm2_->forward(y);
    return classifier_->forward(y.relu_().flatten(1));
  }

 private:
  std::int64_t stride_;
  torch::nn::Conv2d conv1_;
  std::shared_ptr<BatchNorm> norm1_;
  torch::nn::Conv2d conv2_;
  std::shared_ptr<BatchNorm> norm2_;
  torch::nn::Linear classifier_;
};

Network::Network(const Genotype& genotype, const NetworkSpec& spec) : auxiliary_cell_(auxiliary_cell(spec.cells)) {
  check(spec);
  const std::vector<CellPlace> places = cell_places(spec, genotype);
  backbone_ = register_module("backbone", std::make_shared<Backbone<NetworkCell, PlainLayers>>(
                                              spec, places, /*last_norm=*/false, [&](const CellPlace& place) {
                                                return std::make_shared<NetworkCell>(
                                                    place.reduction ? genotype.reduce : genotype.normal, place);
                                              }));
  if (spec.auxiliary) {
    const std::int64_t channels = places[static_cast<std::size_t>(auxiliary_cell_)].channels_out;
    auxiliary_ = register_module("auxiliary", std::make_shared<AuxiliaryHead>(spec, channels));
  }
}

Network::~Network() = default;

NetworkOutput Network::forward(const torch::Tensor& images, const DropPath& drop_path) {
  NetworkOutput output;
  output.logits = backbone_->forward(
      images, [&](NetworkCell& cell, std::size_t i, const torch::Tensor& s0, const torch::Tensor& s1) {
        torch::Tensor x = cell.forward(s0, s1, drop_path, 2 * max_nodes * i);
        if (auxiliary_ && is_training() && static_cast<std::int64_t>(i) == auxiliary_cell_) {
          output.auxiliary = auxiliary_->forward(x);
        }
        return x;
      });
  return output;
}

}  // namespace flowdarts::darts
