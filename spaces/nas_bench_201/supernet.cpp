#include <flowdarts/spaces/nas_bench_201/backbone.hpp>
#include <flowdarts/spaces/nas_bench_201/supernet.hpp>
#include <span>
#include <string>

namespace flowdarts::nas_bench_201 {

class MixedCell : public torch::nn::Module {
 public:
  MixedCell(const SupernetSpec& spec, std::int64_t channels) {
    for (std::size_t e = 0; e < cell_edges.size(); ++e) {
      std::vector<std::shared_ptr<CandidateOp>> candidates;
      for (int op = 0; op < column::count; ++op) {
        candidates.push_back(spec.present[e][op]
                                 ? make_op(op, channels, spec.conv_bias,
                                           {.affine = spec.affine, .track_running_stats = spec.track_running_stats})
                                 : nullptr);
      }
      edges_[e] = register_module("edge" + std::to_string(e), std::make_shared<MixedOp>(std::move(candidates)));
    }
  }

  /// weights: the 30 op weights, row by row, each 0-dimensional.
  torch::Tensor forward(const torch::Tensor& x, const std::vector<torch::Tensor>& weights) {
    std::array<torch::Tensor, cell_nodes> nodes{x};
    for (std::size_t e = 0; e < cell_edges.size(); ++e) {
      const auto [to, from] = cell_edges[e];
      if (!nodes[from].defined()) nodes[from] = torch::zeros_like(x);
      add_term(nodes[to],
               edges_[e]->forward(nodes[from], std::span(weights).subspan(e * column::count, column::count)));
    }
    return nodes.back().defined() ? nodes.back() : torch::zeros_like(x);
  }

 private:
  std::array<std::shared_ptr<MixedOp>, cell_edges.size()> edges_;
};

OracleSupernet::OracleSupernet(const SupernetSpec& spec)
    : backbone_(register_module("backbone", std::make_shared<Backbone<MixedCell>>(
                                                spec.channels, spec.cells, spec.classes, [&](std::int64_t channels) {
                                                  return std::make_shared<MixedCell>(spec, channels);
                                                }))) {}

OracleSupernet::~OracleSupernet() = default;

torch::Tensor OracleSupernet::forward(const torch::Tensor& images, const std::vector<torch::Tensor>& op_weights) {
  TORCH_CHECK(op_weights.size() == 1 && op_weights[0].sizes() == at::IntArrayRef({cell_edges.size(), column::count}),
              "the NAS-Bench-201 supernet takes one [6, 5] matrix of op weights");
  // One unbind for the whole network: its backward fills in the zeros of the ops that were not run.
  return backbone_->forward(images, op_weights[0].flatten().unbind());
}

std::vector<ArchShape> OracleSupernet::arch_shapes() const {
  return {{cell_edges.size(), column::count}};
}

void OracleSupernet::set_statistics_updates(bool enabled) {
  flowdarts::set_statistics_updates(*this, enabled);
}

}  // namespace flowdarts::nas_bench_201
