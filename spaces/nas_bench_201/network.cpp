#include <flowdarts/spaces/nas_bench_201/backbone.hpp>
#include <flowdarts/spaces/nas_bench_201/network.hpp>
#include <string>

namespace flowdarts::nas_bench_201 {

class Cell : public torch::nn::Module {
 public:
  Cell(const std::array<int, cell_edges.size()>& ops, std::int64_t channels) {
    for (std::size_t e = 0; e < cell_edges.size(); ++e) {
      ops_[e] = make_op(ops[e], channels, /*conv_bias=*/false, {.affine = true, .track_running_stats = true});
      if (ops_[e]) register_module("edge" + std::to_string(e), ops_[e]);
    }
  }

  torch::Tensor forward(const torch::Tensor& x) {
    std::array<torch::Tensor, cell_nodes> nodes{x};
    for (std::size_t e = 0; e < cell_edges.size(); ++e) {
      const auto [to, from] = cell_edges[e];
      if (!ops_[e]) continue;
      // A convolution of zeros is not zero: its batch norm shifts.
      if (!nodes[from].defined()) nodes[from] = torch::zeros_like(x);
      const torch::Tensor term = ops_[e]->forward(nodes[from]);
      // Not in place: the term of a skip_connect is the source node itself.
      nodes[to] = nodes[to].defined() ? nodes[to] + term : term;
    }
    return nodes.back().defined() ? nodes.back() : torch::zeros_like(x);
  }

 private:
  std::array<std::shared_ptr<CandidateOp>, cell_edges.size()> ops_;
};

Network::Network(const std::array<int, cell_edges.size()>& ops, std::int64_t channels, std::int64_t cells,
                 std::int64_t classes)
    : backbone_(register_module(
          "backbone", std::make_shared<Backbone<Cell, PlainLayers>>(channels, cells, classes, [&](std::int64_t width) {
            return std::make_shared<Cell>(ops, width);
          }))) {}

Network::~Network() = default;

torch::Tensor Network::forward(const torch::Tensor& images) {
  return backbone_->forward(images);
}

}  // namespace flowdarts::nas_bench_201
