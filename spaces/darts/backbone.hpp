#pragma once
// Everything of a DARTS network but its cells: the search supernets and the stand-alone network share it.

#include <cstdint>
#include <flowdarts/spaces/darts/spec.hpp>
#include <flowdarts/spaces/mixed_op/batch_norm.hpp>
#include <flowdarts/spaces/support/error.hpp>
#include <memory>
#include <vector>

namespace flowdarts::darts {

/// How the layers around the cells are computed: as LibTorch does. The fused supernet has its own way.
struct PlainLayers {
  static torch::Tensor conv(torch::nn::Conv2dImpl& conv, const torch::Tensor& x) { return conv.forward(x); }
  static torch::Tensor norm(BatchNorm& norm, const torch::Tensor& x) { return norm.forward(x); }
  static torch::Tensor norm_relu(BatchNorm& norm, const torch::Tensor& x) { return norm.forward(x).relu_(); }
};

/// A 3x3 convolution and its batch norm, affine.
template <class Layers>
class StemConv : public torch::nn::Module {
 public:
  StemConv(std::int64_t in, std::int64_t out, std::int64_t stride)
      : conv_(register_module(
            "conv", torch::nn::Conv2d(torch::nn::Conv2dOptions(in, out, 3).stride(stride).padding(1).bias(false)))),
        norm_(register_module("norm", std::make_shared<BatchNorm>(out))) {}

  torch::Tensor forward(const torch::Tensor& x) { return Layers::norm(*norm_, Layers::conv(*conv_, x)); }
  torch::Tensor forward_relu(const torch::Tensor& x) { return Layers::norm_relu(*norm_, Layers::conv(*conv_, x)); }

 private:
  torch::nn::Conv2d conv_;
  std::shared_ptr<BatchNorm> norm_;
};

/// Stem, cells, global average pool, linear classifier; where asked for, batch norm and ReLU before the pool.
template <class Cell, class Layers>
class Backbone : public torch::nn::Module {
 public:
  /// make_cell(place) makes a cell, a std::shared_ptr<Cell>.
  template <class Spec, class MakeCell>
  Backbone(const Spec& spec, const std::vector<CellPlace>& places, bool last_norm, const MakeCell& make_cell)
      : stem_(spec.stem) {
    const std::int64_t width = stem_channels(spec);
    const auto add_stem = [&](std::int64_t in, std::int64_t out, std::int64_t stride) {
      convs_.push_back(
          register_module("stem" + std::to_string(convs_.size()), std::make_shared<StemConv<Layers>>(in, out, stride)));
    };
    if (stem_ == Stem::cifar) {
      add_stem(3, width, 1);
    } else {
      add_stem(3, width / 2, 2);
      add_stem(width / 2, width, 2);
      add_stem(width, width, 2);
    }
    for (const CellPlace& place : places) {
      cells_.push_back(register_module("cell" + std::to_string(cells_.size()), make_cell(place)));
    }
    const std::int64_t out = places.back().channels_out;
    if (last_norm) last_norm_ = register_module("last_norm", std::make_shared<BatchNorm>(out));
    classifier_ = register_module("classifier", torch::nn::Linear(out, spec.classes));
  }

  /// images [B, 3, H, W], H and W multiples of size_multiple(stem), in any memory format. run(cell, its index, s0, s1)
  /// gives the cell's output. Returns logits [B, classes].
  template <class RunCell>
  torch::Tensor forward(const torch::Tensor& images, const RunCell& run) {
    const std::int64_t multiple = size_multiple(stem_);
    if (images.dim() != 4 || images.size(1) != 3 || images.size(2) % multiple != 0 || images.size(3) % multiple != 0) {
      throw InputError("DARTS network: found images of shape " + c10::str(images.sizes()) +
                       ", expected [batch, 3, height, width] with height and width multiples of " +
                       std::to_string(multiple));
    }
    torch::Tensor s0, s1;
    if (stem_ == Stem::cifar) {
      s0 = s1 = convs_[0]->forward(images);
    } else {
      s0 = convs_[1]->forward(convs_[0]->forward_relu(images));
      s1 = convs_[2]->forward(torch::relu(s0));
    }
    for (std::size_t i = 0; i < cells_.size(); ++i) s0 = std::exchange(s1, run(*cells_[i], i, s0, s1));
    if (last_norm_) s1 = Layers::norm_relu(*last_norm_, s1);
    return classifier_->forward(s1.mean({2, 3}, /*keepdim=*/false, classifier_->weight.scalar_type()));
  }

 private:
  Stem stem_;
  std::vector<std::shared_ptr<StemConv<Layers>>> convs_;
  std::vector<std::shared_ptr<Cell>> cells_;
  std::shared_ptr<BatchNorm> last_norm_;
  torch::nn::Linear classifier_{nullptr};
};

}  // namespace flowdarts::darts
