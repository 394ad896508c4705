#pragma once

#include <flowdarts/policies/roles.hpp>
#include <flowdarts/spaces/support/capabilities.hpp>
#include <flowdarts/spaces/support/option.hpp>

#include <torch/torch.h>

#include <algorithm>
#include <cstdint>
#include <vector>

namespace custom_policy {

using flowdarts::AtLeast;
using flowdarts::Option;

/// Pushes every edge towards one op, so that less is lost when the search ends and all other ops are cut away: adds to
/// L_V, in epoch t counted from 0,
///   strength min(1, (t + 1) / ramp) H(alpha),
/// H being the entropy, in nats, of an edge's softmax weights, as a mean over the edges of all cell types. The idea of
/// an entropy loss that grows during the search is that of Tian et al., "Discretization-aware architecture search",
/// Pattern Recognition 2021 (arXiv:2007.03154); this linear ramp is simpler than their schedules.
struct EntropyPenalty {
  using role = flowdarts::roles::ArchRegularizer;
  static constexpr const char* name = "EntropyPenalty";
  static constexpr auto provides = flowdarts::capabilities<>;
  // Refused at compile time beside a relaxation whose weights are no distribution over an edge's ops.
  static constexpr auto needs =
      flowdarts::capabilities<flowdarts::tags::trainable_alpha, flowdarts::tags::simplex_weights>;

  struct Options {
    BOOST_HANA_DEFINE_STRUCT(
        Options, (Option<double, "factor of the entropy at the ramp's end", 0.1, AtLeast{0.0}>, strength),
        (Option<std::int64_t, "epochs in which the factor grows to its full value", 25, AtLeast{1}>, ramp));
  };

  explicit EntropyPenalty(const Options& options = {}) : strength_(options.strength), ramp_(options.ramp) {}

  /// A scalar. alphas: a matrix [edges, ops] a cell type.
  [[nodiscard]] torch::Tensor loss(const std::vector<torch::Tensor>& alphas, std::int64_t epoch) const {
    std::vector<torch::Tensor> entropies;
    for (const torch::Tensor& alpha : alphas) {
      const torch::Tensor log_weights = torch::log_softmax(alpha, 1);
      entropies.push_back(-(log_weights.exp() * log_weights).sum(1));
    }
    const double grown = std::min(1.0, static_cast<double>(epoch + 1) / static_cast<double>(ramp_));
    return torch::cat(entropies).mean() * (strength_ * grown);
  }

 private:
  double strength_;
  std::int64_t ramp_;
};

}  // namespace custom_policy
