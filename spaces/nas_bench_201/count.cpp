#include <algorithm>
#include <array>
#include <flowdarts/spaces/nas_bench_201/count.hpp>
#include <flowdarts/spaces/support/error.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace flowdarts::nas_bench_201 {
namespace {

void check(std::string_view name, int value, int low, int high, int step = 1) {
  if (value >= low && value <= high && value % step == 0) return;
  throw InputError(std::string(name) + ": found " + std::to_string(value) + ", expected " + std::to_string(low) +
                   " to " + std::to_string(high) + (step > 1 ? ", a multiple of " + std::to_string(step) : ""));
}

/// The convolutions of one cell; the other ops have neither parameters nor MACs.
struct CellConvs {
  std::int64_t conv_1x1 = 0;
  std::int64_t conv_3x3 = 0;
};

NetworkCounts count(const CellConvs& convs, const NetworkShape& shape, const SupernetVariant& variant) {
  check("channels", shape.channels, 1, 4096);
  check("cells", shape.cells, 1, 100);
  check("classes", shape.classes, 1, 1'000'000);
  check("image size", shape.image_size, 4, 4096, 4);

  NetworkCounts counts;
  std::int64_t c = shape.channels;
  std::int64_t pixels = std::int64_t{shape.image_size} * shape.image_size;
  counts.params += 27 * c + 2 * c;  // stem: 3x3 convolution of 3 channels, batch norm
  counts.macs += 27 * c * pixels;
  std::int64_t biased_outputs = 0;
  for (int stage = 0; stage < 3; ++stage) {
    if (stage > 0) {
      // Residual block c -> 2c at half the resolution: two 3x3 convolutions with batch norm, 1x1 shortcut without.
      const std::int64_t weights = 9 * c * (2 * c) + 9 * (2 * c) * (2 * c) + c * (2 * c);
      c *= 2;
      pixels /= 4;
      counts.block_params.push_back(weights + 2 * (2 * c));
      counts.macs += weights * pixels;
    }
    const std::int64_t weights = (convs.conv_1x1 + 9 * convs.conv_3x3) * c * c;
    const std::int64_t outputs = (convs.conv_1x1 + convs.conv_3x3) * c;
    const std::int64_t cell = weights + (variant.conv_bias ? outputs : 0) + (variant.affine_ops ? 2 * outputs : 0);
    counts.block_params.insert(counts.block_params.end(), static_cast<std::size_t>(shape.cells), cell);
    counts.macs += shape.cells * weights * pixels;
    if (variant.conv_bias) biased_outputs += shape.cells * outputs * pixels;
  }
  for (const std::int64_t block : counts.block_params) counts.params += block;
  counts.params += (variant.affine_last_bn ? 2 * c : 0) + c * shape.classes + shape.classes;
  counts.macs += c * shape.classes;
  counts.macs_plus_bias = counts.macs + biased_outputs + shape.classes;
  return counts;
}

/// Convolutions on the longest path from a cell's input to its output that is not cut by a `none`; 0 where there is no
/// path: then what reaches the output is a zero.
std::int64_t cell_depth(const Genotype& genotype) {
  std::array<std::optional<std::int64_t>, node_count> depths{0};
  for (std::size_t i = 0; i < edges.size(); ++i) {
    const Op op = genotype.ops[i];
    const auto from = depths[static_cast<std::size_t>(edges[i].from)];
    if (op == Op::none || !from) continue;
    auto& to = depths[static_cast<std::size_t>(edges[i].to)];
    to = std::max(to.value_or(0), *from + (op == Op::nor_conv_1x1 || op == Op::nor_conv_3x3 ? 1 : 0));
  }
  return depths.back().value_or(0);
}

}  // namespace

NetworkCounts count_network(const Genotype& genotype, const NetworkShape& shape) {
  NetworkCounts counts = count({.conv_1x1 = std::ranges::count(genotype.ops, Op::nor_conv_1x1),
                                .conv_3x3 = std::ranges::count(genotype.ops, Op::nor_conv_3x3)},
                               shape, {.conv_bias = false, .affine_ops = true, .affine_last_bn = true});
  // Stem, three stages of cells, two convolutions in each of the two residual blocks, classifier.
  counts.depth = 1 + 3 * shape.cells * cell_depth(genotype) + 2 * 2 + 1;
  return counts;
}

NetworkCounts count_supernet(const NetworkShape& shape, const SupernetVariant& variant) {
  constexpr auto edge_count = static_cast<std::int64_t>(edges.size());
  return count({.conv_1x1 = edge_count, .conv_3x3 = edge_count}, shape, variant);
}

}  // namespace flowdarts::nas_bench_201
