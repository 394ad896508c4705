#pragma once
// The network that is trained from an architecture, whatever its space.

#include <torch/torch.h>

#include <cstdint>
#include <flowdarts/spaces/darts/network.hpp>
#include <flowdarts/spaces/mobilenet/network.hpp>
#include <flowdarts/spaces/nas_bench_201/network.hpp>
#include <flowdarts/spaces/stand_alone/spec.hpp>
#include <memory>
#include <variant>

namespace flowdarts {

/// What a pass in training mode drops at random, probabilities in [0, 1).
struct StandAloneDropout {
  double path = 0;         ///< ops of a DARTS cell, all with this probability; mobilenet::Dropout's layers
  double features = 0;     ///< MobileNet-like: features before the classifier
  std::uint64_t seed = 0;  ///< made anew for every pass
};

/// Logits [B, classes] of the classifier and, of a DARTS network with one in training mode, the auxiliary classifier.
using StandAloneOutput = darts::NetworkOutput;

/// The network of one of the spaces. Its weights are LibTorch's to begin with: see initialise().
class StandAloneNetwork {
 public:
  /// Throws InputError where the spec does not fit.
  explicit StandAloneNetwork(const StandAlone& description);

  /// images [B, 3, image_size, image_size] in any memory format. NAS-Bench-201 networks drop nothing.
  StandAloneOutput forward(const torch::Tensor& images, const StandAloneDropout& dropout = {}) const;

  /// What has the parameters and buffers, and their names.
  [[nodiscard]] torch::nn::Module& module() const;

  /// The space's own network, for who must know its layers.
  using Network = std::variant<std::shared_ptr<nas_bench_201::Network>, std::shared_ptr<darts::Network>,
                               std::shared_ptr<mobilenet::Network>>;
  [[nodiscard]] const Network& network() const { return network_; }

 private:
  Network network_;
};

}  // namespace flowdarts
