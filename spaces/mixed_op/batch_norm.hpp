#pragma once
// Batch normalisation as the search spaces need it: the statistics can be frozen while a step does extra passes, and
// processes can share those of a batch.

#include <torch/torch.h>

#include <cstdint>
#include <flowdarts/spaces/rank_sum.hpp>
#include <memory>
#include <utility>

namespace flowdarts {

struct BatchNormOptions {
  bool affine = true;               // a learnable scale (1 at first) and shift (0 at first)
  bool track_running_stats = true;  // keep running statistics; without them evaluation mode uses the batch's own
  double eps = 1e-5;
};

/// Batch normalisation over [B, channels, H, W], momentum 0.1: running = 0.9 running + 0.1 batch.
class BatchNorm : public torch::nn::Module {
 public:
  explicit BatchNorm(std::int64_t channels, BatchNormOptions options = {}) : channels_(channels), eps_(options.eps) {
    if (options.affine) {
      weight_ = register_parameter("weight", torch::ones({channels}));
      bias_ = register_parameter("bias", torch::zeros({channels}));
    }
    if (options.track_running_stats) {
      running_mean_ = register_buffer("running_mean", torch::zeros({channels}));
      running_var_ = register_buffer("running_var", torch::ones({channels}));
    }
  }

  torch::Tensor forward(const torch::Tensor& x) const {
    if (const auto sum = rank_sum()) return forward_of_whole_batch(x, sum);
    const bool batch_statistics = uses_batch_statistics();
    const bool use_running = !batch_statistics || statistics_updates_;
    return torch::batch_norm(x, weight_, bias_, use_running ? running_mean_ : torch::Tensor(),
                             use_running ? running_var_ : torch::Tensor(), batch_statistics, momentum, eps_,
                             at::globalContext().userEnabledCuDNN());
  }

  /// Whether a training-mode forward moves the running statistics.
  void set_statistics_updates(bool enabled) { statistics_updates_ = enabled; }

  /// The batch's own statistics are from now on those of the whole batch, of which each process has a share; null: of
  /// this process's share. A pass that uses them, forwards and backwards, is then collective.
  void share_statistics(std::shared_ptr<const RankSum> sum) { sum_ = std::move(sum); }

  /// What adds up the batch statistics of a forward over the processes; null where there are none or nobody shares.
  [[nodiscard]] std::shared_ptr<const RankSum> rank_sum() const { return uses_batch_statistics() ? sum_ : nullptr; }

  /// Whether a forward normalises with the batch's own statistics.
  [[nodiscard]] bool uses_batch_statistics() const { return is_training() || !running_mean_.defined(); }
  [[nodiscard]] bool updates_statistics() const {
    return is_training() && statistics_updates_ && running_mean_.defined();
  }

  [[nodiscard]] std::int64_t channels() const { return channels_; }
  [[nodiscard]] double eps() const { return eps_; }

  static constexpr double momentum = 0.1;

  // For the fused forms of this layer; each [channels], undefined where the options leave it out.
  [[nodiscard]] const torch::Tensor& weight() const { return weight_; }
  [[nodiscard]] const torch::Tensor& bias() const { return bias_; }
  [[nodiscard]] const torch::Tensor& running_mean() const { return running_mean_; }
  [[nodiscard]] const torch::Tensor& running_var() const { return running_var_; }

 private:
  /// forward(), with the statistics of the whole batch. Differentiable once.
  [[nodiscard]] torch::Tensor forward_of_whole_batch(const torch::Tensor& x,
                                                     const std::shared_ptr<const RankSum>& sum) const;

  std::int64_t channels_;
  double eps_;
  torch::Tensor weight_, bias_, running_mean_, running_var_;
  bool statistics_updates_ = true;
  std::shared_ptr<const RankSum> sum_;
};

/// Does so for every batch norm inside `module`.
inline void set_statistics_updates(torch::nn::Module& module, bool enabled) {
  module.apply([enabled](torch::nn::Module& child) {
    if (auto* norm = child.as<BatchNorm>()) norm->set_statistics_updates(enabled);
  });
}
inline void share_statistics(torch::nn::Module& module, const std::shared_ptr<const RankSum>& sum) {
  module.apply([&](torch::nn::Module& child) {
    if (auto* norm = child.as<BatchNorm>()) norm->share_statistics(sum);
  });
}

}  // namespace flowdarts
