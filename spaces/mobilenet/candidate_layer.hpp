#pragma once

#include <array>
#include <cstdint>
#include <flowdarts/spaces/mixed_op/skip_dropout.hpp>
#include <flowdarts/spaces/mobilenet/ops.hpp>
#include <flowdarts/spaces/mobilenet/supernet.hpp>
#include <flowdarts/spaces/support/error.hpp>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace flowdarts::mobilenet {

/// A searchable layer, whatever computes its mix: the weights of its candidates, under the same names. A skip needs
/// none: where a layer may be skipped, its input is added to the mix, whatever the weights, and a skip adds nothing to
/// that (with weights that sum to 1 this is the mix of MBConvs with their shortcuts and the identity).
class CandidateLayer : public MixedOp {
 public:
  /// Throws InputError where nothing would be left of a layer that must be there.
  CandidateLayer(const SupernetSpec& spec, int layer, const LayerShape& shape)
      : MixedOp(candidates_of(spec, layer, shape)), layer_(layer), shape_(shape) {
    left_.fill(true);
    require_runs();
  }

  /// mask [1, columns]: 0 where an op is no longer run. Throws InputError as the constructor.
  void set_mask(const torch::Tensor& mask) {
    const torch::Tensor host = mask.detach().to(torch::kCPU, torch::kDouble).contiguous();
    for (std::int64_t op = 0; op < host.numel(); ++op) {
      left_[static_cast<std::size_t>(op)] = host.const_data_ptr<double>()[op] != 0.0;
    }
    require_runs();
  }

  // Of the passes to come.
  void set_skip_dropout(const SkipDropout& dropout) { dropout_ = dropout; }
  void set_output_observer(const OutputObserver& observer) { observer_ = observer; }

  /// x [B, in, H, W], op_weights [1, columns] -> [B, out, H', W']. A pass that shows its candidates runs op by op.
  torch::Tensor forward(const torch::Tensor& x, const torch::Tensor& op_weights) {
    torch::Tensor out = x;
    if (runs_any()) out = observer_ ? mix_op_by_op(x, op_weights) : mix(x, op_weights);
    if (!skip_left()) return out;
    if (observer_) show(conv_op_count, x);
    if (dropout_.rate == 0) return out;
    // Of the mix with the identity, only the part that `skip` has in it.
    return out + op_weights[0][conv_op_count] * (drop_skip(x, dropout_, layer_, /*row=*/0) - x);
  }

  /// Whether the MBConv of a column is there and left.
  [[nodiscard]] bool runs(std::size_t op) const { return candidate(op) && left_[op]; }
  [[nodiscard]] bool runs_any() const {
    for (std::size_t op = 0; op < conv_op_count; ++op) {
      if (runs(op)) return true;
    }
    return false;
  }

 protected:
  [[nodiscard]] const LayerShape& shape() const { return shape_; }

  /// The candidates' weighted sum and the shortcut; called where any runs.
  virtual torch::Tensor mix(const torch::Tensor& x, const torch::Tensor& op_weights) = 0;
  torch::Tensor mix_op_by_op(const torch::Tensor& x, const torch::Tensor& op_weights) {
    // One unbind: its backward fills in the zeros of the ops that were not run.
    const std::vector<torch::Tensor> weights = op_weights.flatten().unbind();
    torch::Tensor sum;
    for (std::size_t op = 0; op < conv_op_count; ++op) {
      if (!runs(op)) continue;
      const torch::Tensor output = candidate(op)->forward(x);
      if (observer_) show(op, shape_.keeps_shape() ? output + x : output);
      add_term(sum, output * weights[op]);
    }
    return shape_.keeps_shape() ? sum + x : sum;
  }

 private:
  [[nodiscard]] bool skip_left() const { return may_skip(layer_) && left_.back(); }

  void show(std::size_t op, const torch::Tensor& output) const {
    observer_(static_cast<std::size_t>(layer_), 0, static_cast<std::int64_t>(op), output);
  }

  static std::vector<std::shared_ptr<CandidateOp>> candidates_of(const SupernetSpec& spec, int layer,
                                                                 const LayerShape& shape) {
    std::vector<std::shared_ptr<CandidateOp>> candidates(static_cast<std::size_t>(columns_of(layer)));
    for (std::size_t op = 0; op < conv_op_count; ++op) {
      if (!spec.present[static_cast<std::size_t>(layer)][op]) continue;
      candidates[op] = std::make_shared<MbConv>(shape, static_cast<Op>(op));
    }
    return candidates;
  }

  void require_runs() const {
    if (shape_.keeps_shape() || runs_any()) return;
    throw InputError("MobileNet-like supernet, layer " + std::to_string(layer_) +
                     ": found no op, expected at least one: this layer changes width or resolution");
  }

  int layer_;
  LayerShape shape_;
  std::array<bool, op_names.size()> left_{};
  SkipDropout dropout_;
  OutputObserver observer_;
};

}  // namespace flowdarts::mobilenet
