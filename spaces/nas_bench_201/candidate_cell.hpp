#pragma once

#include <array>
#include <flowdarts/spaces/nas_bench_201/ops.hpp>
#include <flowdarts/spaces/nas_bench_201/supernet.hpp>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace flowdarts::nas_bench_201 {

/// The candidate ops of a cell's six edges: the weights of every form of a search cell, under the same names. Op by op
/// it runs itself.
class CandidateCell : public torch::nn::Module {
 public:
  CandidateCell(const SupernetSpec& spec, std::int64_t channels) : partial_(spec.partial) {
    for (std::size_t e = 0; e < cell_edges.size(); ++e) {
      std::vector<std::shared_ptr<CandidateOp>> candidates;
      for (int op = 0; op < column::count; ++op) {
        candidates.push_back(spec.present[e][op]
                                 ? make_op(op, channels / spec.partial, spec.conv_bias,
                                           {.affine = spec.affine, .track_running_stats = spec.track_running_stats})
                                 : nullptr);
      }
      edges_[e] = register_module("edge" + std::to_string(e), std::make_shared<MixedOp>(std::move(candidates)));
    }
  }

  /// x [B, C, H, W]; weights: the 30 op weights, row by row, then the weights of the edges where they have any, each
  /// 0-dimensional. Returns node 3. pass->cell is this cell's number and becomes the next one's.
  torch::Tensor forward(const torch::Tensor& x, const std::vector<torch::Tensor>& weights, MixedOpPass* pass) {
    std::array<torch::Tensor, cell_nodes> nodes{x};
    const auto parts = std::span(weights).first(op_count);
    for (std::size_t e = 0; e < cell_edges.size(); ++e) {
      const auto [to, from] = cell_edges[e];
      if (!nodes[from].defined()) nodes[from] = torch::zeros_like(x);
      torch::Tensor output = run_edge(e, nodes[from], parts.subspan(e * column::count, column::count), *pass);
      if (weights.size() > op_count && output.defined()) output = output * weights[op_count + e];
      add_term(nodes[to], output);
    }
    ++pass->cell;
    return nodes.back().defined() ? nodes.back() : torch::zeros_like(x);
  }

 protected:
  [[nodiscard]] MixedOp& edge(std::size_t e) const { return *edges_[e]; }
  [[nodiscard]] std::int64_t partial() const { return partial_; }  // K

 private:
  static constexpr std::size_t op_count = cell_edges.size() * column::count;

  /// With partial channels (PC-DARTS, section 3.1 and its code) the first 1/K of the channels is mixed, the others pass
  /// by; then the channels are shuffled, so that the next edge mixes others.
  torch::Tensor run_edge(std::size_t e, const torch::Tensor& x, std::span<const torch::Tensor> weights,
                         const MixedOpPass& pass) {
    const auto row = static_cast<std::int64_t>(e);
    if (partial_ == 1) return edge(e).forward(x, weights, pass, 0, row);
    const std::int64_t mixed_channels = x.size(1) / partial_;
    const torch::Tensor first = x.narrow(1, 0, mixed_channels);
    torch::Tensor mixed = edge(e).forward(first, weights, pass, 0, row);
    if (!mixed.defined()) mixed = torch::zeros_like(first);
    return torch::channel_shuffle(torch::cat({mixed, x.narrow(1, mixed_channels, x.size(1) - mixed_channels)}, 1),
                                  partial_);
  }

  std::int64_t partial_;
  std::array<std::shared_ptr<MixedOp>, cell_edges.size()> edges_;
};

}  // namespace flowdarts::nas_bench_201
