#include <algorithm>
#include <flowdarts/spaces/darts/count.hpp>
#include <flowdarts/spaces/support/error.hpp>
#include <string>

namespace flowdarts::darts {
namespace {

/// Adds up layers. affine: the batch norms have scale and shift; bias: the 1x1 convolutions have one.
struct Layers {
  bool affine = true;
  bool bias = false;
  std::int64_t params = 0, macs = 0, biased_outputs = 0;

  void norm(std::int64_t channels) {
    if (affine) params += 2 * channels;
  }

  /// weights: of the whole layer; pixels: of its output.
  void conv(std::int64_t weights, std::int64_t pixels) {
    params += weights;
    macs += weights * pixels;
  }

  void pointwise(std::int64_t in, std::int64_t out, std::int64_t pixels) {
    conv(in * out, pixels);
    if (bias) {
      params += out;
      biased_outputs += out * pixels;
    }
    norm(out);
  }

  void separable(std::int64_t kernel, std::int64_t channels, std::int64_t pixels) {
    conv(kernel * kernel * channels, pixels);
    pointwise(channels, channels, pixels);
  }

  void linear(std::int64_t in, std::int64_t out) {
    params += in * out + out;
    macs += in * out;
    biased_outputs += out;
  }

  /// pixels: of the output.
  void op(Op op, std::int64_t c, int stride, std::int64_t pixels) {
    switch (op) {
      case Op::none:
      case Op::max_pool_3x3:
      case Op::avg_pool_3x3:
        return;
      case Op::skip_connect:
        if (stride == 2) pointwise(c, c, pixels);  // a factorised reduction
        return;
      case Op::sep_conv_3x3:
      case Op::sep_conv_5x5:
      case Op::sep_conv_7x7: {
        const std::int64_t kernel = op == Op::sep_conv_3x3 ? 3 : op == Op::sep_conv_5x5 ? 5 : 7;
        separable(kernel, c, pixels);
        separable(kernel, c, pixels);
        return;
      }
      case Op::dil_conv_3x3:
      case Op::dil_conv_5x5:
        return separable(op == Op::dil_conv_3x3 ? 3 : 5, c, pixels);
      case Op::conv_7x1_1x7:
        conv(7 * c * c, stride * pixels);  // the first convolution halves the width alone
        conv(7 * c * c, pixels);
        return norm(c);
    }
  }
};

// Calls add_ops(layers, place, side of the output) for each cell between the other layers.
template <class Spec, class AddOps>
NetworkCounts count(const Spec& spec, const std::vector<CellPlace>& places, Layers layers, bool last_norm,
                    int image_size, const AddOps& add_ops) {
  const int multiple = size_multiple(spec.stem);
  if (image_size < multiple || image_size > 4096 || image_size % multiple != 0) {
    throw InputError("image size: found " + std::to_string(image_size) + ", expected " + std::to_string(multiple) +
                     " to 4096, a multiple of " + std::to_string(multiple));
  }
  NetworkCounts counts;
  std::int64_t side = image_size;
  const std::int64_t w = stem_channels(spec);
  if (spec.stem == Stem::cifar) {
    layers.conv(27 * w, side * side);
    layers.params += 2 * w;
  } else {
    layers.conv(27 * (w / 2), side * side / 4);
    layers.conv(9 * (w / 2) * w, side * side / 16);
    layers.conv(9 * w * w, side * side / 64);
    layers.params += 2 * (w / 2) + 2 * w + 2 * w;
    side /= 8;
  }
  for (std::size_t i = 0; i < places.size(); ++i) {
    const CellPlace& place = places[i];
    const std::int64_t before = layers.params;
    layers.pointwise(place.channels_prev_prev, place.channels, side * side);
    layers.pointwise(place.channels_prev, place.channels, side * side);
    if (place.reduction) side /= 2;
    add_ops(layers, place, side * side);
    counts.cell_params.push_back(layers.params - before);
  }
  const std::int64_t out = places.back().channels_out;
  if (last_norm) layers.params += 2 * out;
  layers.linear(out, spec.classes);
  counts.params = layers.params;
  counts.macs = layers.macs;
  counts.macs_plus_bias = layers.macs + layers.biased_outputs;
  return counts;
}

/// Convolutions in a row in an op.
std::int64_t depth_of(Op op, int stride) {
  switch (op) {
    case Op::none:
    case Op::max_pool_3x3:
    case Op::avg_pool_3x3:
      return 0;
    case Op::skip_connect:
      return stride == 2 ? 1 : 0;
    case Op::sep_conv_3x3:
    case Op::sep_conv_5x5:
    case Op::sep_conv_7x7:
      return 4;
    case Op::dil_conv_3x3:
    case Op::dil_conv_5x5:
    case Op::conv_7x1_1x7:
      return 2;
  }
  return 0;
}

/// Convolutions and linear layers on the longest path through a network.
std::int64_t depth(const Genotype& genotype, const std::vector<CellPlace>& places, Stem stem) {
  // Of the outputs of the cell before the previous one and of the previous one; with the ImageNet stem its second part
  // is three convolutions deep, its first two.
  std::int64_t prev_prev = stem == Stem::cifar ? 1 : 2, prev = stem == Stem::cifar ? 1 : 3;
  for (const CellPlace& place : places) {
    const Cell& cell = place.reduction ? genotype.reduce : genotype.normal;
    std::vector<std::int64_t> states{prev_prev + 1, prev + 1};  // behind the cell's own convolutions of its inputs
    for (std::size_t i = 0; i < cell.inputs.size(); i += 2) {
      std::int64_t node = 0;
      for (const Input& input : {cell.inputs[i], cell.inputs[i + 1]}) {
        const int stride = place.reduction && input.state < input_states ? 2 : 1;
        node = std::max(node, states[static_cast<std::size_t>(input.state)] + depth_of(input.op, stride));
      }
      states.push_back(node);
    }
    prev_prev = prev;
    prev = 0;
    for (const int state : cell.concat) prev = std::max(prev, states[static_cast<std::size_t>(state)]);
  }
  return prev + 1;
}

}  // namespace

NetworkCounts count_network(const Genotype& genotype, const NetworkSpec& spec, int image_size) {
  check(spec);
  const std::vector<CellPlace> places = cell_places(spec, genotype);
  NetworkCounts counts =
      count(spec, places, {}, /*last_norm=*/false, image_size,
            [&](Layers& layers, const CellPlace& place, std::int64_t pixels) {
              for (const auto& [op, state] : (place.reduction ? genotype.reduce : genotype.normal).inputs) {
                layers.op(op, place.channels, place.reduction && state < input_states ? 2 : 1, pixels);
              }
            });
  counts.depth = depth(genotype, places, spec.stem);
  if (spec.auxiliary) {
    const std::int64_t in = places[static_cast<std::size_t>(auxiliary_cell(spec.cells))].channels_out;
    Layers head;
    head.pointwise(in, 128, 4);
    head.conv(std::int64_t{4} * 128 * 768, 1);
    if (spec.stem == Stem::cifar || spec.auxiliary_norm) head.norm(768);
    head.linear(768, spec.classes);
    counts.auxiliary_params = head.params;
    counts.auxiliary_macs = head.macs;
  }
  return counts;
}

NetworkCounts count_supernet(const SupernetSpec& spec, int image_size) {
  check(spec);
  const auto add_ops = [&](Layers& layers, const CellPlace& place, std::int64_t pixels) {
    for (int node = 0; node < spec.nodes; ++node) {
      for (int state = 0; state < node + input_states; ++state) {
        const std::size_t edge = first_edge(node) + static_cast<std::size_t>(state);
        for (std::size_t op = 0; op < candidate_count; ++op) {
          if (!spec.present(place.reduction, edge, static_cast<Op>(op))) continue;
          layers.op(static_cast<Op>(op), place.channels / spec.partial, place.reduction && state < input_states ? 2 : 1,
                    pixels);
        }
      }
    }
  };
  return count(spec, cell_places(spec), {.affine = false, .bias = spec.conv_bias}, spec.last_norm, image_size, add_ops);
}

}  // namespace flowdarts::darts
