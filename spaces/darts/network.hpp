#pragma once
// The network that is trained from searched DARTS cells.

#include <torch/torch.h>

#include <cstdint>
#include <flowdarts/spaces/darts/spec.hpp>
#include <memory>

namespace flowdarts::darts {

class NetworkCell;
class AuxiliaryHead;
struct PlainLayers;
template <class, class>
class Backbone;

/// Drops whole ops of single samples in training mode, all but the identity of stride 1 (Larsson et al., "FractalNet",
/// ICLR 2017, as NASNet and DARTS use it): what is kept is divided by 1 - probability. `seed` is made anew for every
/// forward pass by who trains.
struct DropPath {
  double probability = 0;
  std::uint64_t seed = 0;
};

/// x [B, C, H, W] with dropped samples; op: which of the network's ops x comes from, each has draws of its own.
torch::Tensor drop_samples(const torch::Tensor& x, const DropPath& drop_path, std::uint64_t op);

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
  /// needs what cells of 32 x 32 images (ImageNet: 224 x 224) give it. Throws InputError.
  NetworkOutput forward(const torch::Tensor& images, const DropPath& drop_path = {});

 private:
  std::int64_t auxiliary_cell_;
  std::shared_ptr<Backbone<NetworkCell, PlainLayers>> backbone_;
  std::shared_ptr<AuxiliaryHead> auxiliary_;
};

}  // namespace flowdarts::darts
