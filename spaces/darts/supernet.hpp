#pragma once
// The DARTS search supernets, with PC-DARTS', P-DARTS' and IS-DARTS' forms.

#include <cstdint>
#include <flowdarts/spaces/darts/spec.hpp>
#include <flowdarts/spaces/mixed_op/form.hpp>
#include <flowdarts/spaces/mixed_op/oracle.hpp>
#include <flowdarts/spaces/supernet.hpp>
#include <memory>
#include <utility>
#include <vector>

namespace flowdarts::darts {

class OracleCell;
class FusedCell;
struct PlainLayers;
struct FusedLayers;
template <class, class>
class Backbone;

/// What both forms share. op_weights of forward(): one [edges, columns] matrix for the normal cells and one for the
/// reduction cells, columns as the spec's; with edge weights also two [edges, 1] matrices of them. The gradient of
/// `none` and of an op that is not present or not left is 0.
class DartsSupernet : public Supernet {
 public:
  [[nodiscard]] std::vector<ArchShape> arch_shapes() const override;
  void set_statistics_updates(bool enabled) override;
  void share_statistics(const std::shared_ptr<const RankSum>& sum) override;

  /// Holds in training mode; each identity draws noise of its own.
  void set_skip_dropout(const SkipDropout& dropout) override;

  /// Those of edge weights say nothing.
  void set_masks(const std::vector<torch::Tensor>& masks) override;

  /// What the ops see of partial channels, they show.
  void set_output_observer(OutputObserver observer) override { pass_.observer = std::move(observer); }

 protected:
  explicit DartsSupernet(const SupernetSpec& spec);
  void check_op_weights(const std::vector<torch::Tensor>& op_weights) const;

  SupernetSpec spec_;
  MixedOpPass pass_;
};

/// The supernet op by op: one module a candidate op of an edge, the reference for every faster one. Results repeat bit
/// for bit; another number of LibTorch threads rounds some sums differently.
class OracleSupernet : public DartsSupernet {
 public:
  /// Throws InputError as check(spec).
  explicit OracleSupernet(const SupernetSpec& spec);
  ~OracleSupernet() override;

  torch::Tensor forward(const torch::Tensor& images, const std::vector<torch::Tensor>& op_weights) override;

 private:
  std::shared_ptr<Backbone<OracleCell, PlainLayers>> backbone_;
};

/// The same network with the fused operators of spaces/mixed_op/: modules, parameters and results are the oracle's, to
/// rounding. CPU, or GPU in a build with FLOWDARTS_CUDA. On a CPU results repeat bit for bit for one number of threads,
/// on a GPU where LibTorch is asked for deterministic convolutions.
class FusedSupernet : public DartsSupernet {
 public:
  /// Throws InputError as check(spec).
  explicit FusedSupernet(const SupernetSpec& spec, Precision precision = Precision::fp32);
  ~FusedSupernet() override;

  torch::Tensor forward(const torch::Tensor& images, const std::vector<torch::Tensor>& op_weights) override;
  void set_masks(const std::vector<torch::Tensor>& masks) override;

  /// Computes on a CPU as it does on a GPU: to rounding the same, with more passes over memory.
  void compose();

 private:
  std::shared_ptr<Backbone<FusedCell, FusedLayers>> backbone_;
  Precision precision_;
};

}  // namespace flowdarts::darts
