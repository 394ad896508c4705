#include <algorithm>
#include <flowdarts/spaces/mobilenet/count.hpp>
#include <flowdarts/spaces/support/error.hpp>
#include <string>
#include <string_view>

namespace flowdarts::mobilenet {
namespace {

void check(std::string_view name, int value, int low, int high) {
  if (value >= low && value <= high) return;
  throw InputError(std::string(name) + ": found " + std::to_string(value) + ", expected " + std::to_string(low) +
                   " to " + std::to_string(high));
}

/// Adds up a network from its input on.
class Counter {
 public:
  explicit Counter(int image_size) : side_(image_size) {}

  /// Candidates that read the same features. expansion 1: without the convolution that expands.
  void begin_block(const LayerShape& shape) {
    shape_ = shape;
    out_side_ = strided(side_, shape.stride);
    counts_.block_params.push_back(0);
  }
  void mbconv(std::int64_t kernel, std::int64_t expansion) {
    const std::int64_t hidden = expansion * shape_.in;
    const std::int64_t expand = expansion == 1 ? 0 : shape_.in * hidden;
    const std::int64_t depthwise = kernel * kernel * hidden;
    const std::int64_t project = hidden * shape_.out;
    counts_.block_params.back() +=
        expand + depthwise + project + (expansion == 1 ? 2 : 4) * hidden + 2 * std::int64_t{shape_.out};
    counts_.macs += expand * pixels(side_) + (depthwise + project) * pixels(out_side_);
  }
  void end_block() {
    side_ = out_side_;
    counts_.params += counts_.block_params.back();
  }

  /// Convolution and batch norm.
  void conv(std::int64_t in, std::int64_t out, std::int64_t kernel, int stride) {
    side_ = strided(side_, stride);
    counts_.params += kernel * kernel * in * out + 2 * out;
    counts_.macs += kernel * kernel * in * out * pixels(side_);
  }
  void linear(std::int64_t in, std::int64_t out) {
    counts_.params += in * out + out;
    counts_.macs += in * out;
  }

  [[nodiscard]] const NetworkCounts& counts() const { return counts_; }

 private:
  static std::int64_t pixels(int side) { return std::int64_t{side} * side; }

  NetworkCounts counts_;
  int side_;
  LayerShape shape_{};
  int out_side_ = 0;
};

/// add_layer(counter, layer) counts the candidates of a layer that are there.
template <class F>
NetworkCounts count(const NetworkShape& shape, const F& add_layer) {
  const Widths& widths = shape.widths;
  check("width of the stem", widths.stem, 1, 4096);
  for (const int width : widths.stages) check("width of a stage", width, 1, 4096);
  check("width of the head", widths.head, 1, 4096);
  check("classes", shape.classes, 1, 1'000'000);
  check("image size", shape.image_size, 1, 4096);
  check("stem stride", shape.stem_stride, 1, 2);

  Counter counter(shape.image_size);
  counter.conv(3, widths.stem, 3, shape.stem_stride);
  counter.begin_block({widths.stem, widths.stages[0], 1});
  counter.mbconv(3, 1);
  counter.end_block();
  for (int layer = 0; layer < layer_count; ++layer) {
    counter.begin_block(shape_of(layer, widths));
    add_layer(counter, static_cast<std::size_t>(layer));
    counter.end_block();
  }
  counter.conv(widths.stages.back(), widths.head, 1, 1);
  counter.linear(widths.head, shape.classes);
  return counter.counts();
}

}  // namespace

NetworkCounts count_network(const Genotype& genotype, const NetworkShape& shape) {
  NetworkCounts counts = count(shape, [&](Counter& counter, std::size_t layer) {
    const Op op = genotype.ops[layer];
    if (op != Op::skip) counter.mbconv(kernel_of(op), expansion_of(op));
  });
  // Stem, the two convolutions of the fixed block, three of each layer that is there, head, classifier.
  counts.depth = 1 + 2 + 3 * (layer_count - std::ranges::count(genotype.ops, Op::skip)) + 1 + 1;
  return counts;
}

NetworkCounts count_supernet(const NetworkShape& shape) {
  return count(shape, [](Counter& counter, std::size_t) {
    for (int op = 0; op < conv_op_count; ++op) {
      counter.mbconv(kernel_of(static_cast<Op>(op)), expansion_of(static_cast<Op>(op)));
    }
  });
}

}  // namespace flowdarts::mobilenet
