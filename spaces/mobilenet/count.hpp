#pragma once
// Learnable parameters and multiply-accumulates of MobileNet-like networks in closed form, without building them.

#include <cstdint>
#include <flowdarts/spaces/mobilenet/genotype.hpp>
#include <vector>

namespace flowdarts::mobilenet {

/// What surrounds the choices.
struct NetworkShape {
  Widths widths;         // each 1 to 4096
  int classes = 1000;    // 1 to 1,000,000
  int image_size = 224;  // side in pixels, 1 to 4096
  int stem_stride = 2;   // 1 or 2
};

/// Convolution and linear weights, linear biases, batch-norm scales and shifts are parameters; alpha and running
/// statistics are not. A MAC is one multiply-accumulate of a convolution or linear layer in one forward pass of one
/// image.
struct NetworkCounts {
  std::int64_t params = 0;
  std::int64_t macs = 0;
  std::int64_t depth = 0;  // convolutions and linear layers on the longest path from image to logits; not of a supernet
  std::vector<std::int64_t> block_params;  // of the fixed block and each of the 21 layers
};

/// The stand-alone network: skipped layers are not there. Throws InputError when a value of `shape` is out of its
/// range.
NetworkCounts count_network(const Genotype& genotype, const NetworkShape& shape = {});

/// The supernet, every candidate of every layer counted once. Throws as count_network().
NetworkCounts count_supernet(const NetworkShape& shape = {});

}  // namespace flowdarts::mobilenet
