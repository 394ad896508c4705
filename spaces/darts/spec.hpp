#pragma once
// What the networks of this space are built from, and the cells they have. No LibTorch.

#include <array>
#include <cstdint>
#include <flowdarts/spaces/darts/genotype.hpp>
#include <string_view>
#include <utility>
#include <vector>

namespace flowdarts::darts {

/// What lies before the cells.
enum class Stem : std::uint8_t {
  cifar,    ///< one 3x3 convolution; both inputs of the first cell are its output
  imagenet  ///< three 3x3 convolutions of stride 2: the first cell reads 1/4 and 1/8 of the resolution
};

constexpr std::array<std::pair<Stem, std::string_view>, 2> names_of(Stem) {
  return {{{Stem::cifar, "cifar"}, {Stem::imagenet, "imagenet"}}};
}

/// The side of an image must be a multiple of this: every stride-2 layer needs an even one.
constexpr int size_multiple(Stem stem) {
  return stem == Stem::cifar ? 4 : 32;
}

/// Which candidates live on which edge of a cell: a row an edge, an entry an Op. `none` costs nothing either way.
using OpMask = std::vector<std::array<bool, candidate_count>>;

/// All candidates on all edges.
OpMask all_ops(int nodes = default_nodes);

/// What a supernet is built from. Methods that shrink the search space build a smaller one during the search.
/// The defaults are those of DARTS on CIFAR.
struct SupernetSpec {
  std::int64_t channels = 16;  // C: of the first cells; a reduction cell has twice as many as the cell before it
  std::int64_t cells = 8;      // L: cells L/3 and 2L/3 (whole numbers, from 0) reduce
  std::int64_t classes = 10;
  int nodes = default_nodes;  // of a cell
  Stem stem = Stem::cifar;
  bool with_none = true;      // eight candidates; without, seven, and every column is one smaller
  std::int64_t partial = 1;   // K of PC-DARTS (Xu et al., ICLR 2020): the first C/K channels go through the candidates
  bool edge_weights = false;  // of PC-DARTS: each edge is weighted, too
  bool pool_norm = true;      // a batch norm behind the pools; IS-DARTS has none
  bool conv_bias = false;     // of the 1x1 convolutions in the cells, as IS-DARTS has
  bool last_norm = false;     // batch norm and ReLU before the classifier, as IS-DARTS has
  bool track_running_stats = true;  // of the cells' batch norms; off, evaluation mode uses the batch's statistics
  OpMask normal, reduce;            // of the two kinds of cell; empty: all candidates

  [[nodiscard]] std::int64_t columns() const {
    return static_cast<std::int64_t>(candidate_count) - (with_none ? 0 : 1);
  }
  /// The column of an op; -1 for `none` where there is no such candidate.
  [[nodiscard]] int column_of(Op op) const { return static_cast<int>(op) - (with_none ? 0 : 1); }
  /// Whether an op lives on an edge of a kind of cell.
  [[nodiscard]] bool present(bool reduction, std::size_t edge, Op op) const {
    const OpMask& mask = reduction ? reduce : normal;
    return mask.empty() || mask[edge][static_cast<std::size_t>(op)];
  }
};

/// What a stand-alone network is built from.
struct NetworkSpec {
  std::int64_t channels = 36;
  std::int64_t cells = 20;
  std::int64_t classes = 10;
  Stem stem = Stem::cifar;
  bool auxiliary = true;        // the auxiliary classifier, which works in training mode alone
  bool auxiliary_norm = false;  // ImageNet: batch norm behind its last convolution, as P-DARTS and IS-DARTS have
};

/// The sizes at which the papers evaluate.
inline constexpr NetworkSpec cifar_network{};
inline constexpr NetworkSpec imagenet_network{.channels = 48, .cells = 14, .classes = 1000, .stem = Stem::imagenet};

/// Throw InputError where a number is out of its range or numbers do not fit one another.
void check(const SupernetSpec& spec);
void check(const NetworkSpec& spec);

/// One cell of a network and the channels of what it reads.
struct CellPlace {
  std::int64_t channels_prev_prev, channels_prev, channels;
  bool reduction, reduction_prev;  // this one halves the resolution; the previous one did
  std::int64_t channels_out;
};

/// The cells of a network. stem_channels: of the stem's output; normal_width, reduce_width: how many nodes a cell
/// concatenates. On ImageNet the second stem layer counts as a reduction before the first cell.
std::vector<CellPlace> cell_places(std::int64_t channels, std::int64_t cells, Stem stem, std::int64_t stem_channels,
                                   std::int64_t normal_width, std::int64_t reduce_width);
std::vector<CellPlace> cell_places(const SupernetSpec& spec);
std::vector<CellPlace> cell_places(const NetworkSpec& spec, const Genotype& genotype);

/// Channels of the stem's output: 3C, but C in a stand-alone ImageNet network.
std::int64_t stem_channels(const SupernetSpec& spec);
std::int64_t stem_channels(const NetworkSpec& spec);

/// The cell whose output the auxiliary classifier reads: the second reduction cell.
constexpr std::int64_t auxiliary_cell(std::int64_t cells) {
  return 2 * cells / 3;
}

}  // namespace flowdarts::darts
