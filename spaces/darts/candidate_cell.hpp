#pragma once

#include <flowdarts/spaces/darts/ops.hpp>
#include <flowdarts/spaces/darts/supernet.hpp>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace flowdarts::darts {

/// The preprocessing and the candidate ops of a cell's edges: the weights of every form of a search cell, under the
/// same names.
class CandidateCell : public torch::nn::Module {
 public:
  CandidateCell(const SupernetSpec& spec, const CellPlace& place)
      : place_(place), nodes_(spec.nodes), partial_(spec.partial), with_none_(spec.with_none) {
    const OpOptions options{.norm = {.affine = false, .track_running_stats = spec.track_running_stats},
                            .conv_bias = spec.conv_bias,
                            .pool_norm = spec.pool_norm};
    inputs_[0] = register_module(
        "preprocess0", make_preprocess(place.channels_prev_prev, place.channels, place.reduction_prev, options));
    inputs_[1] =
        register_module("preprocess1", make_preprocess(place.channels_prev, place.channels, /*halve=*/false, options));
    for (int node = 0; node < spec.nodes; ++node) {
      for (int state = 0; state < node + input_states; ++state) {
        const std::size_t e = edges_.size();
        std::vector<std::shared_ptr<CandidateOp>> candidates;
        for (std::size_t op = spec.with_none ? 0 : 1; op < candidate_count; ++op) {
          candidates.push_back(spec.present(place.reduction, e, static_cast<Op>(op))
                                   ? make_op(static_cast<Op>(op), place.channels / spec.partial, stride(state), options)
                                   : nullptr);
        }
        edges_.push_back(register_module("edge" + std::to_string(e), std::make_shared<MixedOp>(std::move(candidates))));
      }
    }
  }

  /// The edges of a cell of this kind read their op weights at this place of op_weights.
  [[nodiscard]] std::size_t kind() const { return place_.reduction ? 1 : 0; }

 protected:
  [[nodiscard]] const CellPlace& place() const { return place_; }
  [[nodiscard]] int node_count() const { return nodes_; }
  [[nodiscard]] std::int64_t partial() const { return partial_; }
  [[nodiscard]] CandidateOp& preprocess(std::size_t input) const { return *inputs_[input]; }
  [[nodiscard]] MixedOp& edge(std::size_t e) const { return *edges_[e]; }
  [[nodiscard]] std::size_t columns() const { return candidate_count - (with_none_ ? 0 : 1); }
  /// Of the edges that leave a state.
  [[nodiscard]] std::int64_t stride(int state) const { return place_.reduction && state < input_states ? 2 : 1; }

 private:
  CellPlace place_;
  int nodes_;
  std::int64_t partial_;
  bool with_none_;
  std::array<std::shared_ptr<CandidateOp>, input_states> inputs_;
  std::vector<std::shared_ptr<MixedOp>> edges_;
};

/// PC-DARTS' shuffle of channels-last or contiguous x [B, C, H, W]: channel c * groups + q takes channel
/// q * (C / groups) + c.
inline torch::Tensor shuffle_channels(const torch::Tensor& x, std::int64_t groups) {
  if (groups == 1) return x;
  const std::int64_t channels = x.size(1);
  return x.reshape({x.size(0), groups, channels / groups, x.size(2), x.size(3)}).transpose(1, 2).reshape(x.sizes());
}

}  // namespace flowdarts::darts
