#pragma once

#include <flowdarts/spaces/mobilenet/candidate_layer.hpp>

namespace flowdarts::mobilenet {

/// A searchable layer as one operator with a backward pass of its own. The 1x1 convolutions that expand run as one with
/// stacked output channels; each candidate's batch norm and ReLU6 are one pass in front of what reads them, and its
/// depthwise convolution runs image by image on what that pass left in the cache; the candidates' last batch norms,
/// their weights, the sum and the shortcut are one mix (spaces/mixed_op/mix.hpp). What ReLU6 makes is not kept but made
/// again by the backward pass. A candidate of weight 0 runs forwards, for its statistics and the gradient of its
/// weight, and not backwards. On a GPU it is composed of several operators (composed_layer.hpp).
class FusedLayer : public CandidateLayer {
 public:
  using CandidateLayer::CandidateLayer;

  /// Composes on a CPU, too.
  void compose() { composed_ = true; }

 private:
  /// x [B, in, H, W], float32, float64 or bfloat16, CPU or GPU; op_weights [1, columns]. Returns [B, out, H', W'],
  /// channels-last. Differentiable once.
  torch::Tensor mix(const torch::Tensor& x, const torch::Tensor& op_weights) override;

  bool composed_ = false;
};

}  // namespace flowdarts::mobilenet
