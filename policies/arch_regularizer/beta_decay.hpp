#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <flowdarts/policies/roles.hpp>
#include <flowdarts/spaces/support/capabilities.hpp>
#include <flowdarts/spaces/support/option.hpp>
#include <flowdarts/spaces/support/preset.hpp>
#include <limits>
#include <string_view>
#include <vector>

namespace flowdarts {

/// Adds to L_V, in epoch t counted from 0, lambda(t) R with
///   R = sum over cell types of mean_e log sum_o exp(alpha(e,o)),  lambda(t) = slope t,
/// whose gradient, softmax(alpha) over the number of rows, draws the ops of an edge together and lets none run away
/// (Ye et al.: beta-DARTS: Beta-decay regularization for differentiable architecture search, CVPR 2022; lambda and the
/// mean over rows as in its code).
struct BetaDecay {
  using role = roles::ArchRegularizer;
  static constexpr const char* name = "BetaDecay";
  static constexpr auto provides = capabilities<>;
  static constexpr auto needs = capabilities<tags::trainable_alpha, tags::softmax_mixing>;
  struct Options {
    BOOST_HANA_DEFINE_STRUCT(Options, (Option<double, "growth of lambda in an epoch", 0.5, AtLeast{0.0}>, slope));
  };

  explicit BetaDecay(const Options& options = {}) : slope_(options.slope) {}

  static std::vector<Preset> presets(std::string_view /* space */) {
    // As many epochs as a quick search has must take lambda where the paper's hundred take it.
    return {{.name = "paper", .values = {{"regularizer-slope", "0.5"}}},
            {.name = "quick", .values = {{"regularizer-slope", "5"}}}};
  }

  [[nodiscard]] double lambda(std::int64_t epoch) const { return slope_ * static_cast<double>(epoch); }

  /// A scalar. alphas: a matrix [edges, ops] a cell type; matrices of one row each, as in a chain of layers that share
  /// none, are together one type; those of one column, in which no ops compete, are left out. masks: one a matrix, 1
  /// where an op is left, 0 elsewhere; or none, where all are left.
  [[nodiscard]] torch::Tensor loss(const std::vector<torch::Tensor>& alphas, const std::vector<torch::Tensor>& masks,
                                   std::int64_t epoch) const {
    std::vector<torch::Tensor> means, layers;
    for (std::size_t m = 0; m < alphas.size(); ++m) {
      if (alphas[m].size(1) == 1) continue;
      torch::Tensor rows = alphas[m];
      if (!masks.empty()) {
        const torch::Tensor left = masks[m].sum(1).nonzero().squeeze(1);  // an edge without ops has no term
        rows = rows.masked_fill(masks[m].eq(0), -std::numeric_limits<double>::infinity()).index_select(0, left);
      }
      const torch::Tensor terms = torch::logsumexp(rows, 1);
      if (alphas[m].size(0) == 1) {
        layers.push_back(terms);
      } else {
        means.push_back(terms.mean());
      }
    }
    if (!layers.empty()) means.push_back(torch::cat(layers).mean());
    return torch::stack(means).sum() * lambda(epoch);
  }

 private:
  double slope_;
};

}  // namespace flowdarts
