#pragma once

#include <flowdarts/spaces/mobilenet/ops.hpp>
#include <flowdarts/spaces/mobilenet/supernet.hpp>
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
      : MixedOp(candidates_of(spec, layer, shape)), shape_(shape), columns_(columns_of(layer)) {}

 protected:
  [[nodiscard]] const LayerShape& shape() const { return shape_; }
  [[nodiscard]] int columns() const { return columns_; }

 private:
  static std::vector<std::shared_ptr<CandidateOp>> candidates_of(const SupernetSpec& spec, int layer,
                                                                 const LayerShape& shape) {
    std::vector<std::shared_ptr<CandidateOp>> candidates(static_cast<std::size_t>(columns_of(layer)));
    bool any = shape.keeps_shape();
    for (std::size_t op = 0; op < conv_op_count; ++op) {
      if (!spec.present[static_cast<std::size_t>(layer)][op]) continue;
      candidates[op] = std::make_shared<MbConv>(shape, static_cast<Op>(op));
      any = true;
    }
    if (!any) {
      throw InputError("MobileNet-like supernet, layer " + std::to_string(layer) +
                       ": found no op, expected at least one: this layer changes width or resolution");
    }
    return candidates;
  }

  LayerShape shape_;
  int columns_;
};

}  // namespace flowdarts::mobilenet
