#pragma once
// The MobileNet-like search supernet: every layer the weighted sum of all its candidates.

#include <array>
#include <cstdint>
#include <flowdarts/spaces/mixed_op/form.hpp>
#include <flowdarts/spaces/mobilenet/chain.hpp>
#include <flowdarts/spaces/supernet.hpp>
#include <memory>
#include <vector>

namespace flowdarts::mobilenet {

/// Which MBConvs live in which layer; a skip costs nothing and needs no place.
using OpMask = std::array<std::array<bool, conv_op_count>, layer_count>;

constexpr OpMask all_ops() {
  OpMask mask{};
  for (auto& row : mask) row.fill(true);
  return mask;
}

/// What a supernet is built from. Methods that shrink the search space build a smaller one during the search.
struct SupernetSpec {
  Widths widths;
  std::int64_t classes = 1000;
  std::int64_t stem_stride = 2;  // or 1, for small images
  OpMask present = all_ops();    // an op not present is neither built nor run
};

class OracleLayer;
class FusedLayer;
struct PlainLayers;
struct FusedLayers;
template <class, class>
class Backbone;

/// The supernet op by op: one module a candidate op of a layer, the reference for every faster one.
class OracleSupernet : public Supernet {
 public:
  /// Throws InputError unless widths and classes are positive, the stride is 1 or 2, and an op is left in each of the
  /// layers that must be there.
  explicit OracleSupernet(const SupernetSpec& spec);
  ~OracleSupernet() override;

  /// op_weights: a tensor [1, columns_of(layer)] for each of the 21 layers, which share none. The gradient of an op
  /// that is not run is 0, and that of `skip`, but for its dropout.
  torch::Tensor forward(const torch::Tensor& images, const std::vector<torch::Tensor>& op_weights) override;
  [[nodiscard]] std::vector<ArchShape> arch_shapes() const override;
  void set_statistics_updates(bool enabled) override;
  void share_statistics(const std::shared_ptr<const RankSum>& sum) override;

  /// Throws InputError where nothing would be left of a layer that must be there.
  void set_masks(const std::vector<torch::Tensor>& masks) override;
  /// Behind the candidate `skip`, not behind the shortcuts of the MBConvs: a layer of input x, of whose weights `skip`
  /// has w, gives w (dropped(x) - x) more than without dropout.
  void set_skip_dropout(const SkipDropout& dropout) override;
  /// Shown are whole candidates: an MBConv with its shortcut, where it has one, and the layer's input for `skip`.
  void set_output_observer(OutputObserver observer) override;

 private:
  std::shared_ptr<Backbone<OracleLayer, PlainLayers>> backbone_;
};

/// The same network with fused operators: modules, parameters and results are the oracle's, to rounding. CPU, or GPU in
/// a build with FLOWDARTS_CUDA. On a CPU results repeat bit for bit for one number of threads, on a GPU where LibTorch
/// is asked for deterministic convolutions.
class FusedSupernet : public Supernet {
 public:
  /// Throws as OracleSupernet.
  explicit FusedSupernet(const SupernetSpec& spec, Precision precision = Precision::fp32);
  ~FusedSupernet() override;

  torch::Tensor forward(const torch::Tensor& images, const std::vector<torch::Tensor>& op_weights) override;
  [[nodiscard]] std::vector<ArchShape> arch_shapes() const override;
  void set_statistics_updates(bool enabled) override;
  void share_statistics(const std::shared_ptr<const RankSum>& sum) override;
  void set_masks(const std::vector<torch::Tensor>& masks) override;
  void set_skip_dropout(const SkipDropout& dropout) override;
  /// Passes that show their candidates run op by op, in float32.
  void set_output_observer(OutputObserver observer) override;

  /// Computes on a CPU as it does on a GPU: to rounding the same, with more passes over memory.
  void compose();

 private:
  std::shared_ptr<Backbone<FusedLayer, FusedLayers>> backbone_;
  Precision precision_;
  bool shows_ = false;
};

}  // namespace flowdarts::mobilenet
