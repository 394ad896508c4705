#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <flowdarts/policies/relaxation/softmax.hpp>
#include <flowdarts/policies/roles.hpp>
#include <flowdarts/spaces/supernet.hpp>
#include <flowdarts/spaces/support/capabilities.hpp>
#include <flowdarts/spaces/support/error.hpp>
#include <flowdarts/spaces/support/option.hpp>
#include <flowdarts/spaces/support/preset.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace flowdarts {

/// One K-th of the channels goes through the ops of an edge, the others pass by; and each edge has a weight of its own,
/// a softmax over the edges that end in one node (PC-DARTS, Xu et al., ICLR 2020, eq. 2 to 4). Op weights as Softmax.
/// Neither kind of weight is trained in the first epochs.
struct PartialChannel {
  using role = roles::Relaxation;
  static constexpr const char* name = "PartialChannel";
  static constexpr auto provides = capabilities<tags::trainable_alpha, tags::simplex_weights, tags::softmax_mixing,
                                                tags::all_ops_run, tags::alpha_grad_is_strength, tags::maskable>;
  static constexpr auto needs = capabilities<tags::partial_channels>;
  struct Options {
    BOOST_HANA_DEFINE_STRUCT(
        Options, (Option<std::int64_t, "K: one K-th of the channels goes through the ops", 4, AtLeast{1}>, partial),
        (Option<std::int64_t, "epochs in which alpha and edge weights are not trained", 15, AtLeast{0}>, warm_up));
  };

  explicit PartialChannel(const Options& options = {}) : partial_(options.partial), warm_up_(options.warm_up) {}

  static std::vector<Preset> presets(std::string_view space) {
    if (space == "nas-bench-201") {
      return {{.name = "paper", .values = {{"relaxation-partial", "4"}, {"relaxation-warm-up", "15"}}},
              {.name = "quick", .values = {{"relaxation-partial", "4"}, {"relaxation-warm-up", "3"}}}};
    }
    return {{.name = "paper",
             .values = {{"batch-size", "256"},
                        {"w-lr", "0.1"},
                        {"w-lr-min", "0"},
                        {"alpha-lr", "0.0006"},
                        {"relaxation-partial", "4"},
                        {"relaxation-warm-up", "15"}}},
            {.name = "imagenet", .values = {{"relaxation-partial", "2"}, {"relaxation-warm-up", "35"}}},
            {.name = "quick", .values = {{"channels", "8"}, {"relaxation-warm-up", "3"}}}};
  }

  void check(std::int64_t epochs) const {
    if (warm_up_ >= epochs) {
      throw InputError("--relaxation-warm-up: found " + std::to_string(warm_up_) +
                       ", expected less than --epochs, which is " + std::to_string(epochs));
    }
  }
  [[nodiscard]] bool trains_alpha(std::int64_t epoch, std::int64_t /* epochs */) const { return epoch >= warm_up_; }

  /// Tells a space's SupernetSpec.
  template <class Spec>
  void form(Spec& spec) const {
    spec.partial = partial_;
    spec.edge_weights = true;
  }

  [[nodiscard]] torch::Tensor op_weights(const torch::Tensor& alpha, const ArchShape& shape) const {
    return competing_softmax(alpha, shape);
  }
  [[nodiscard]] torch::Tensor op_weights(const torch::Tensor& alpha, const ArchShape& shape,
                                         const torch::Tensor& mask) const {
    return shape.row_groups.empty() ? Softmax().op_weights(alpha, mask) : competing_softmax(alpha, shape);
  }

 private:
  std::int64_t partial_, warm_up_;
};

}  // namespace flowdarts
