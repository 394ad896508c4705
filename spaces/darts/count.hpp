#pragma once
// Learnable parameters and multiply-accumulates of DARTS networks in closed form, without building them.

#include <cstdint>
#include <flowdarts/spaces/darts/spec.hpp>
#include <vector>

namespace flowdarts::darts {

/// Convolution and linear weights and biases, batch-norm scales and shifts are parameters; alpha and running statistics
/// are not. A MAC is one multiply-accumulate of a convolution or linear layer in one forward pass of one image. The
/// auxiliary classifier is counted apart, as the DARTS authors do.
struct NetworkCounts {
  std::int64_t params = 0;
  std::int64_t macs = 0;
  std::int64_t macs_plus_bias = 0;  // plus one for each output element of a layer with a bias
  std::int64_t depth = 0;  // convolutions and linear layers on the longest path from image to logits; not of a supernet
  std::vector<std::int64_t> cell_params;
  std::int64_t auxiliary_params = 0;
  std::int64_t auxiliary_macs = 0;
};

/// The stand-alone network of a genotype. image_size: side in pixels, up to 4096, a multiple of 4, with the ImageNet
/// stem of 32. Throws InputError as check() and for another image size.
NetworkCounts count_network(const Genotype& genotype, const NetworkSpec& spec = {}, int image_size = 32);

/// The supernet; every candidate counts once. Throws as count_network().
NetworkCounts count_supernet(const SupernetSpec& spec = {}, int image_size = 32);

}  // namespace flowdarts::darts
