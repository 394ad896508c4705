#pragma once
// The NAS-Bench-201 search supernet.

#include <array>
#include <cstdint>
#include <flowdarts/spaces/mixed_op/form.hpp>
#include <flowdarts/spaces/nas_bench_201/ops.hpp>
#include <flowdarts/spaces/supernet.hpp>
#include <memory>
#include <utility>
#include <vector>

namespace flowdarts::nas_bench_201 {

/// Which ops live on which edge: a row an edge of cell_edges, a column an op.
using OpMask = std::array<std::array<bool, column::count>, cell_edges.size()>;

constexpr OpMask all_ops() {
  OpMask mask{};
  for (auto& row : mask) row.fill(true);
  return mask;
}

/// What a supernet is built from. Methods that shrink the search space build a smaller one during the search.
struct SupernetSpec {
  std::int64_t channels = 16;  // of the first stage; the second has twice, the third four times as many
  std::int64_t cells = 5;      // in each of the three stages
  std::int64_t classes = 10;
  bool conv_bias = false;           // of the candidate convolutions; only to match AutoDL-Projects' parameter count
  bool track_running_stats = true;  // of the candidates' batch norms; off, evaluation mode uses the batch's statistics
  bool affine = false;              // of the candidates' batch norms
  OpMask present = all_ops();       // an op not present is neither built nor run
  std::int64_t partial = 1;         // K of PC-DARTS (Xu et al., ICLR 2020): the first C/K channels go through the ops
  bool edge_weights = false;        // of PC-DARTS: each edge is weighted, too
};

class OracleCell;
class FusedCell;
struct PlainLayers;
struct FusedLayers;
template <class, class>
class Backbone;

/// The supernet op by op: one module a candidate op of an edge, the reference for every faster one. Results repeat bit
/// for bit; another number of LibTorch threads rounds some sums differently.
class OracleSupernet : public Supernet {
 public:
  /// Throws InputError unless channels, cells and classes are positive and the channels can be parted.
  explicit OracleSupernet(const SupernetSpec& spec);
  ~OracleSupernet() override;

  /// op_weights: one [6, 5] tensor, shared by all cells, and with edge weights a [6, 1] tensor of these. The gradient
  /// of `none` and of an op that is not present is 0; the whole gradient is undefined when no op but `none` is present.
  torch::Tensor forward(const torch::Tensor& images, const std::vector<torch::Tensor>& op_weights) override;
  [[nodiscard]] std::vector<ArchShape> arch_shapes() const override;
  void set_statistics_updates(bool enabled) override;
  void share_statistics(const std::shared_ptr<const RankSum>& sum) override;
  void set_masks(const std::vector<torch::Tensor>& masks) override { pass_.set_masks(masks); }
  void set_skip_dropout(const SkipDropout& dropout) override { pass_.dropout = dropout; }
  void set_output_observer(OutputObserver observer) override { pass_.observer = std::move(observer); }
  // A pass that drops out draws anew; one that shows its candidates hands them to the host; one whose statistics are
  // shared waits for other processes.
  [[nodiscard]] bool recordable() const override {
    return pass_.dropout.rate == 0 && !pass_.observer && !shares_statistics_;
  }

 private:
  SupernetSpec spec_;
  MixedOpPass pass_;
  bool shares_statistics_ = false;
  std::shared_ptr<Backbone<OracleCell, PlainLayers>> backbone_;
};

/// The same network with the fused operators of spaces/mixed_op/: modules, parameters and results are the oracle's, to
/// rounding. CPU, or GPU in a build with FLOWDARTS_CUDA. On a CPU results repeat bit for bit for one number of threads,
/// on a GPU where LibTorch is asked for deterministic convolutions.
class FusedSupernet : public Supernet {
 public:
  /// Throws InputError unless channels, cells and classes are positive and the channels can be parted.
  explicit FusedSupernet(const SupernetSpec& spec, Precision precision = Precision::fp32);
  ~FusedSupernet() override;

  torch::Tensor forward(const torch::Tensor& images, const std::vector<torch::Tensor>& op_weights) override;
  [[nodiscard]] std::vector<ArchShape> arch_shapes() const override;
  void set_statistics_updates(bool enabled) override;
  void share_statistics(const std::shared_ptr<const RankSum>& sum) override;
  void set_masks(const std::vector<torch::Tensor>& masks) override;
  // On a GPU with partial channels or edge weights, and in passes that show their candidates or drop out behind skips,
  // the cells run op by op, in float32.
  void set_skip_dropout(const SkipDropout& dropout) override { pass_.dropout = dropout; }
  void set_output_observer(OutputObserver observer) override { pass_.observer = std::move(observer); }
  [[nodiscard]] bool recordable() const override {
    return pass_.dropout.rate == 0 && !pass_.observer && !shares_statistics_;
  }

 private:
  SupernetSpec spec_;
  MixedOpPass pass_;
  bool shares_statistics_ = false;
  std::shared_ptr<Backbone<FusedCell, FusedLayers>> backbone_;
  Precision precision_;
};

}  // namespace flowdarts::nas_bench_201
