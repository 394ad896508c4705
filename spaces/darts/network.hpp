#pragma once
// The network that is trained from searched DARTS cells.

#include <torch/torch.h>

#include <cstdint>
#include <flowdarts/spaces/darts/spec.hpp>
#include <flowdarts/spaces/drop_path.hpp>
#include <memory>

namespace flowdarts::darts {

class NetworkCell;
class AuxiliaryHead;
struct PlainLayers;
template <class, class>
class Backbone;

/// Logits [B, classes] of the classifier and, in training mode, of the auxiliary one; else undefined.
struct NetworkOutput {
  torch::Tensor logits, auxiliary;
};

/// The stand-alone network: two ops a node, every batch norm affine and tracked, no convolution bias.
class Network : public torch::nn::Module {
 public:
  /// Throws InputError as check(spec).
  Network(const Genotype& genotype, const NetworkSpec& spec);
  ~Network() override;

  /// images [B, 3, H, W], H and W multiples of size_multiple(spec.stem), in any memory format. The auxiliary classifier
  /// needs what cells of 32 x 32 images (ImageNet: 224 x 224) give it. drop_path, in training mode, is of every op but
  /// the identity of stride 1, as NASNet and DARTS use it. Throws InputError.
  NetworkOutput forward(const torch::Tensor& images, const DropPath& drop_path = {});

 private:
  std::int64_t auxiliary_cell_;
  std::shared_ptr<Backbone<NetworkCell, PlainLayers>> backbone_;
  std::shared_ptr<AuxiliaryHead> auxiliary_;
};

}  // namespace flowdarts::darts
