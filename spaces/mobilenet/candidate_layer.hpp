#pragma once

#include <array>
#include <flowdarts/spaces/mobilenet/ops.hpp>
#include <flowdarts/spaces/mobilenet/supernet.hpp>
#include <flowdarts/spaces/support/error.hpp>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace flowdarts::mobilenet {

/// The candidates of a searchable layer: the weights of every form of it, under the same names. A skip needs none:
/// where a layer may be skipped, its input is added to the mix, whatever the weights, and a skip adds nothing to that
/// (with weights that sum to 1 this is the mix of MBConvs with their shortcuts and the identity).
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

  /// Whether the MBConv of a column is there and left.
  [[nodiscard]] bool runs(std::size_t op) const { return candidate(op) && left_[op]; }
  [[nodiscard]] bool runs_any() const {
    for (std::size_t op = 0; op < conv_op_count; ++op) {
      if (runs(op)) return true;
    }
    return false;
  }

 protected:
  [[nodiscard]] int layer() const { return layer_; }
  [[nodiscard]] const LayerShape& shape() const { return shape_; }
  /// Whether the layer may still be skipped.
  [[nodiscard]] bool skip_left() const { return may_skip(layer_) && left_.back(); }

 private:
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
};

}  // namespace flowdarts::mobilenet
