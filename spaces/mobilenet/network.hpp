#pragma once
// The network that is trained from a searched chain.

#include <torch/torch.h>

#include <cstdint>
#include <flowdarts/spaces/drop_path.hpp>
#include <flowdarts/spaces/mobilenet/genotype.hpp>
#include <memory>

namespace flowdarts::mobilenet {

class NetworkLayer;
struct PlainLayers;
template <class, class>
class Backbone;

/// What is dropped in training mode.
struct Dropout {
  /// Of the layers around which there is a shortcut, EfficientNet's drop-connect: the probability grows in proportion
  /// to the depth, from 0 at stage 0 by a 22nd of this one with each layer.
  DropPath layers;      ///< its seed is of both
  double features = 0;  ///< probability of each feature before the classifier
};

/// The stand-alone network: one MBConv a layer, none where the layer is skipped.
class Network : public torch::nn::Module {
 public:
  /// stem_stride: 2, or 1 for small images. Throws InputError for `skip` at a layer that must be there, another stride
  /// and unless the other numbers are positive.
  Network(const Genotype& genotype, std::int64_t classes, const Widths& widths = {}, std::int64_t stem_stride = 2);
  ~Network() override;

  /// images [B, 3, H, W] in any memory format. Returns logits [B, classes].
  torch::Tensor forward(const torch::Tensor& images, const Dropout& dropout = {});

 private:
  std::shared_ptr<Backbone<NetworkLayer, PlainLayers>> backbone_;
};

}  // namespace flowdarts::mobilenet
