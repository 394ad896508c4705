#pragma once

#include <array>
#include <flowdarts/spaces/nas_bench_201/ops.hpp>
#include <flowdarts/spaces/nas_bench_201/supernet.hpp>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace flowdarts::nas_bench_201 {

/// The candidate ops of a cell's six edges: the weights of every form of a search cell, under the same names.
class CandidateCell : public torch::nn::Module {
 public:
  CandidateCell(const SupernetSpec& spec, std::int64_t channels) {
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

 protected:
  [[nodiscard]] MixedOp& edge(std::size_t e) const { return *edges_[e]; }

 private:
  std::array<std::shared_ptr<MixedOp>, cell_edges.size()> edges_;
};

}  // namespace flowdarts::nas_bench_201
