#include <flowdarts/spaces/mixed_op/conv_stack.hpp>
#include <flowdarts/spaces/mixed_op/mix.hpp>
#include <flowdarts/spaces/mixed_op/pool.hpp>
#include <flowdarts/spaces/nas_bench_201/backbone.hpp>
#include <flowdarts/spaces/nas_bench_201/candidate_cell.hpp>
#include <flowdarts/spaces/nas_bench_201/fused_cell.hpp>
#include <flowdarts/spaces/nas_bench_201/supernet.hpp>
#include <span>
#include <string>

namespace flowdarts::nas_bench_201 {

class OracleCell : public CandidateCell {
 public:
  using CandidateCell::CandidateCell;

  /// weights: the 30 op weights, row by row, each 0-dimensional.
  torch::Tensor forward(const torch::Tensor& x, const std::vector<torch::Tensor>& weights) {
    std::array<torch::Tensor, cell_nodes> nodes{x};
    for (std::size_t e = 0; e < cell_edges.size(); ++e) {
      const auto [to, from] = cell_edges[e];
      if (!nodes[from].defined()) nodes[from] = torch::zeros_like(x);
      add_term(nodes[to], edge(e).forward(nodes[from], std::span(weights).subspan(e * column::count, column::count)));
    }
    return nodes.back().defined() ? nodes.back() : torch::zeros_like(x);
  }
};

/// The layers around the cells, in the precision of their input.
struct FusedLayers {
  static torch::Tensor conv(torch::nn::Conv2dImpl& conv, const torch::Tensor& x) {
    return at::conv2d(x, conv.weight.to(x.scalar_type()), {}, conv.options.stride(),
                      std::get<torch::ExpandingArray<2>>(conv.options.padding()));
  }
  static torch::Tensor conv_of_rectified(torch::nn::Conv2dImpl& layer, const torch::Tensor& x) {
    return x.is_cpu() ? relu_conv3x3(x, layer.weight) : conv(layer, x);
  }
  static torch::Tensor halve(const torch::Tensor& x) {
    return average_pool2d(x, {.kernel = 2, .stride = 2, .padding = 0});
  }
  static torch::Tensor norm(BatchNorm& norm, const torch::Tensor& x) { return mix_norm(x, norm); }
  static torch::Tensor norm_relu(BatchNorm& norm, const torch::Tensor& x) { return mix_norm(x, norm, true); }
  static torch::Tensor norm_add(BatchNorm& norm, const torch::Tensor& x, const torch::Tensor& y) {
    const std::array<MixInput, 2> inputs{{{x, &norm}, {y, nullptr}}};
    return mix(inputs);
  }
};

namespace {

void check_op_weights(const std::vector<torch::Tensor>& op_weights) {
  TORCH_CHECK(op_weights.size() == 1 && op_weights[0].sizes() == at::IntArrayRef({cell_edges.size(), column::count}),
              "the NAS-Bench-201 supernet takes one [6, 5] matrix of op weights");
}

template <class Cell, class Layers>
std::shared_ptr<Backbone<Cell, Layers>> make_backbone(const SupernetSpec& spec) {
  return std::make_shared<Backbone<Cell, Layers>>(spec.channels, spec.cells, spec.classes, [&](std::int64_t channels) {
    return std::make_shared<Cell>(spec, channels);
  });
}

}  // namespace

OracleSupernet::OracleSupernet(const SupernetSpec& spec)
    : backbone_(register_module("backbone", make_backbone<OracleCell, PlainLayers>(spec))) {}

OracleSupernet::~OracleSupernet() = default;

torch::Tensor OracleSupernet::forward(const torch::Tensor& images, const std::vector<torch::Tensor>& op_weights) {
  check_op_weights(op_weights);
  // One unbind for the whole network: its backward fills in the zeros of the ops that were not run.
  return backbone_->forward(images, op_weights[0].flatten().unbind());
}

std::vector<ArchShape> OracleSupernet::arch_shapes() const {
  return {{cell_edges.size(), column::count}};
}

void OracleSupernet::set_statistics_updates(bool enabled) {
  flowdarts::set_statistics_updates(*this, enabled);
}

FusedSupernet::FusedSupernet(const SupernetSpec& spec, Precision precision)
    : backbone_(register_module("backbone", make_backbone<FusedCell, FusedLayers>(spec))), precision_(precision) {}

FusedSupernet::~FusedSupernet() = default;

torch::Tensor FusedSupernet::forward(const torch::Tensor& images, const std::vector<torch::Tensor>& op_weights) {
  check_op_weights(op_weights);
  return backbone_->forward(precision_ == Precision::bf16 ? images.to(torch::kBFloat16) : images, op_weights[0]);
}

std::vector<ArchShape> FusedSupernet::arch_shapes() const {
  return {{cell_edges.size(), column::count}};
}

void FusedSupernet::set_statistics_updates(bool enabled) {
  flowdarts::set_statistics_updates(*this, enabled);
}

}  // namespace flowdarts::nas_bench_201
