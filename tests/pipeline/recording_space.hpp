#pragma once
// A search space whose supernet is tiny and tells which samples, weights and op weights each of its forward passes saw.

#include <signal.h>
#include <torch/torch.h>

#include <cmath>
#include <cstdint>
#include <flowdarts/pipeline/tensor_state.hpp>
#include <flowdarts/spaces/supernet.hpp>
#include <flowdarts/spaces/support/capabilities.hpp>
#include <flowdarts/spaces/support/collapse.hpp>
#include <flowdarts/spaces/support/option.hpp>
#include <flowdarts/stages/accumulate/el2n.hpp>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "numbered_images.hpp"

namespace flowdarts::testing {

/// One forward pass.
struct Pass {
  bool trains_alpha = false;      ///< the op weights hang on alpha
  bool moves_statistics = false;  ///< false: a pass that a step or a measurement adds
  std::vector<std::int64_t> ids;  ///< of the batch, read off its images
  std::vector<float> errors;      ///< el2n of its logits
  std::vector<std::byte> weights, statistics, op_weights;
};

/// What the supernets below report to. One search at a time.
struct Recorder {
  std::vector<Pass> passes;
  std::size_t interrupt_at = no_pass;  ///< raise SIGTERM in this pass
  std::size_t poison_at = no_pass;     ///< give logits that are NaN in this pass

  static constexpr std::size_t no_pass = std::numeric_limits<std::size_t>::max();
  static inline Recorder* current = nullptr;
};

/// logits = sum of two linear ops on the normalised mean colours, weighted by op_weights[0], which is [1, 2].
class RecordingSupernet : public Supernet {
 public:
  explicit RecordingSupernet(std::int64_t classes)
      : first_(register_module("first", torch::nn::Linear(3, classes))),
        second_(register_module("second", torch::nn::Linear(3, classes))),
        mean_(register_buffer("mean", torch::zeros({3}))),
        variance_(register_buffer("variance", torch::ones({3}))) {}

  torch::Tensor forward(const torch::Tensor& images, const std::vector<torch::Tensor>& op_weights) override {
    Recorder& recorder = *Recorder::current;
    Pass pass{.trains_alpha = op_weights.at(0).requires_grad(), .moves_statistics = statistics_};
    pass.weights = tensor_bytes(parameters());
    pass.statistics = tensor_bytes(buffers());
    pass.op_weights = tensor_bytes(op_weights);

    const torch::Tensor colours = images.mean({2, 3});
    const torch::Tensor x = torch::batch_norm(colours, {}, {}, {}, {}, true, 0.1, 1e-5, false);
    if (statistics_) {
      const torch::NoGradGuard no_grad;
      mean_.lerp_(colours.mean(0), 0.1);
      variance_.lerp_(colours.var(0, /*unbiased=*/false), 0.1);
    }
    torch::Tensor logits = first_(x) * op_weights[0][0][0] + second_(torch::relu(x)) * op_weights[0][0][1];

    const torch::Tensor host = logits.detach().cpu().contiguous();
    const std::span<const float> values(host.const_data_ptr<float>(), static_cast<std::size_t>(host.numel()));
    const auto classes = static_cast<std::size_t>(host.size(1));
    for (std::int64_t i = 0; i < images.size(0); ++i) {
      const double red = images[i][0][0][0].item<double>();
      const auto id = static_cast<std::int64_t>(std::lround((red * 0.24703233 + 0.49139968) * 255));
      pass.ids.push_back(id);
      pass.errors.push_back(
          el2n(values.subspan(static_cast<std::size_t>(i) * classes, classes), static_cast<std::size_t>(id % 10)));
    }
    recorder.passes.push_back(std::move(pass));
    const std::size_t number = recorder.passes.size() - 1;
    if (number == recorder.interrupt_at) ::raise(SIGTERM);
    if (number == recorder.poison_at) logits = logits * std::numeric_limits<float>::quiet_NaN();
    return logits;
  }
  [[nodiscard]] std::vector<ArchShape> arch_shapes() const override { return {{1, 2}}; }
  void set_statistics_updates(bool enabled) override { statistics_ = enabled; }

 private:
  torch::nn::Linear first_, second_;
  torch::Tensor mean_, variance_;
  bool statistics_ = true;
};

/// Two ops on one edge.
struct RecordingSpace {
  static constexpr const char* name = "recording";
  static constexpr auto provides = capabilities<tags::one_op_per_edge>;
  static constexpr auto needs = capabilities<>;
  using Genotype = std::string;
  using Options = NoOptions;

  explicit RecordingSpace(const Options& = {}) {}
  static void check_image_size(int) {}
  [[nodiscard]] std::shared_ptr<Supernet> make_supernet(std::int64_t classes, int, SupernetForm) const {
    return std::make_shared<RecordingSupernet>(classes);
  }
  [[nodiscard]] Genotype derive(const std::vector<std::vector<double>>& scores) const {
    return scores.at(0).at(0) >= scores[0].at(1) ? "first" : "second";
  }
  [[nodiscard]] std::vector<std::pair<std::string, double>> true_accuracies(const Genotype&) const { return {}; }
  static std::string to_text(const Genotype& genotype) { return genotype; }
  static Genotype from_text(const std::string& text) { return text; }
  static std::string to_json(const Genotype& genotype) { return "\"" + genotype + "\""; }
  static std::string to_dot(const Genotype&) { return "digraph {}"; }
  /// The second op is taken for one without parameters.
  static CollapseVerdict collapse_verdict(const Genotype& genotype) {
    return {.ops = 1, .counts = {{"second", genotype == "second" ? 1 : 0}}};
  }
};

}  // namespace flowdarts::testing
