#pragma once
// Learnable parameters and multiply-accumulates of NAS-Bench-201 networks in closed form, without building them.

#include <cstdint>
#include <flowdarts/spaces/nas_bench_201/genotype.hpp>
#include <vector>

namespace flowdarts::nas_bench_201 {

/// The network around the cells: stem, `cells` cells, residual block, `cells` cells, residual block, `cells` cells,
/// classifier. The width doubles and the image side halves at each residual block.
struct NetworkShape {
  int channels = 16;    // width of the first stage, 1 to 4096
  int cells = 5;        // per stage, 1 to 100
  int classes = 10;     // 1 to 1,000,000
  int image_size = 32;  // side in pixels, 4 to 4096, a multiple of 4
};

/// What published supernets do differently. The defaults are flowdarts' supernet.
struct SupernetVariant {
  bool conv_bias = false;      // the candidate convolutions have a bias
  bool affine_ops = false;     // the candidate ops' batch norms have scale and shift
  bool affine_last_bn = true;  // so has the batch norm before the classifier
};

/// Convolution and linear weights and biases, batch-norm scales and shifts are parameters; alpha and running statistics
/// are not. A MAC is one multiply-accumulate of a convolution or linear layer in one forward pass of one image.
struct NetworkCounts {
  std::int64_t params = 0;
  std::int64_t macs = 0;
  std::int64_t macs_plus_bias = 0;  // plus one for each output element of a layer with a bias: the benchmark's "FLOP"
  std::int64_t depth = 0;  // convolutions and linear layers on the longest path from image to logits; not of a supernet
  std::vector<std::int64_t> block_params;  // of each cell and residual block, in order
};

/// The stand-alone network of a cell: affine batch norms, no convolution bias. Throws InputError when a value of
/// `shape` is out of its range.
NetworkCounts count_network(const Genotype& genotype, const NetworkShape& shape = {});

/// The supernet, all five candidate ops on all six edges, each counted once. Throws as count_network().
NetworkCounts count_supernet(const NetworkShape& shape = {}, const SupernetVariant& variant = {});

}  // namespace flowdarts::nas_bench_201
