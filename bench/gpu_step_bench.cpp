// One first-order step of the NAS-Bench-201 supernet on a GPU: arch step on V, then weight step on T. Fused, as CUDA
// graphs, against op by op, kernel by kernel, as the references run. Prints a Markdown table.

#include <flowdarts/policies/arch_regularizer/none.hpp>
#include <flowdarts/policies/bilevel/first_order.hpp>
#include <flowdarts/policies/relaxation/softmax.hpp>
#include <flowdarts/spaces/initialise.hpp>
#include <flowdarts/spaces/nas_bench_201/supernet.hpp>
#include <flowdarts/stages/arch_step/arch_step.hpp>
#include <flowdarts/stages/weight_step/weight_step.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

namespace flowdarts {
namespace {

constexpr std::int64_t batch_size = 64, image_size = 32;
constexpr int rounds = 7, steps_a_round = 20;
constexpr nas_bench_201::SupernetSpec spec{.channels = 16, .cells = 5};

class OpByOp : public nas_bench_201::OracleSupernet {
 public:
  using OracleSupernet::OracleSupernet;
  [[nodiscard]] bool recordable() const override { return false; }
};

class Contestant {
 public:
  Contestant(std::string what, std::shared_ptr<Supernet> supernet, torch::MemoryFormat format, bool tf32)
      : name(std::move(what)), supernet_(std::move(supernet)), tf32_(tf32) {
    initialise(*supernet_, 1);
    supernet_->to(torch::kCUDA);
    for (auto& parameter : supernet_->parameters()) {
      if (parameter.dim() == 4) parameter.set_data(parameter.contiguous(format));
    }
    std::vector<torch::Tensor> alphas;
    for (const auto& alpha : initial_alphas(supernet_->arch_shapes(), 1e-3, 1)) {
      alphas.push_back(alpha.detach().to(torch::kCUDA).requires_grad_());
    }
    weight_step_ = std::make_unique<WeightStep>(*supernet_, WeightOptions());
    arch_step_ = std::make_unique<Arch>(*supernet_, std::move(alphas), ArchOptions(), Softmax(), FirstOrder(),
                                        NoArchRegularizer());
    for (DeviceBatch* batch : {&train_, &val_}) {
      batch->images = torch::randn({batch_size, 3, image_size, image_size}, torch::kCUDA).contiguous(format);
      batch->labels = torch::randint(10, {batch_size}, torch::TensorOptions(torch::kLong).device(torch::kCUDA));
    }
    run(3);  // chooses algorithms, records
  }

  /// Milliseconds of a step, the mean of `count`.
  double run(int count) {
    at::globalContext().setAllowTF32CuDNN(tf32_);
    at::globalContext().setAllowTF32CuBLAS(tf32_);
    const auto ignore = [](const auto&...) {};
    torch::cuda::synchronize();
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < count; ++i) {
      (*arch_step_)(val_, train_, weight_step_->optimizer(), {}, 0.025, 0, ignore, ignore);
      (*weight_step_)(train_, arch_step_->op_weights(), 0.025, ignore);
    }
    torch::cuda::synchronize();
    return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count() / count;
  }

  std::string name;
  std::vector<double> milliseconds;  // of each round

 private:
  using Arch = ArchStep<Softmax, FirstOrder, NoArchRegularizer>;
  std::shared_ptr<Supernet> supernet_;
  bool tf32_;
  std::unique_ptr<WeightStep> weight_step_;
  std::unique_ptr<Arch> arch_step_;
  DeviceBatch train_, val_;
};

/// "| least | median | greatest |"
std::string spread(std::vector<double> values) {
  std::ranges::sort(values);
  char text[64];
  std::snprintf(text, sizeof text, "| %.2f | %.2f | %.2f |", values.front(), values[values.size() / 2], values.back());
  return text;
}

void measure() {
  at::globalContext().setBenchmarkCuDNN(true);
  const auto fused = [](Precision precision) {
    return std::make_shared<nas_bench_201::FusedSupernet>(spec, precision);
  };
  const auto oracle = [] { return std::make_shared<OpByOp>(spec); };
  constexpr auto nchw = torch::MemoryFormat::Contiguous, nhwc = torch::MemoryFormat::ChannelsLast;
  std::vector<Contestant> all;
  all.emplace_back("op by op, fp32, NCHW", oracle(), nchw, false);
  all.emplace_back("op by op, fp32, channels-last", oracle(), nhwc, false);
  all.emplace_back("op by op, TF32, NCHW", oracle(), nchw, true);
  all.emplace_back("op by op, TF32, channels-last", oracle(), nhwc, true);
  const std::size_t ours = all.size();
  all.emplace_back("fused, fp32", fused(Precision::fp32), nhwc, false);
  all.emplace_back("fused, TF32", fused(Precision::tf32), nhwc, true);
  all.emplace_back("fused, bf16", fused(Precision::bf16), nhwc, true);
  for (int round = 0; round < rounds; ++round) {
    for (Contestant& contestant : all) contestant.milliseconds.push_back(contestant.run(steps_a_round));
  }
  std::printf(
      "First-order step, C=%ld, N=%ld, batch %ld, %ldx%ld images, %d rounds in turns of %d steps. Milliseconds:\n\n",
      spec.channels, spec.cells, batch_size, image_size, image_size, rounds, steps_a_round);
  std::printf("| | min | median | max |\n| --- | --- | --- | --- |\n");
  for (const Contestant& c : all) std::printf("| %s %s\n", c.name.c_str(), spread(c.milliseconds).c_str());
  std::printf("\nThe ratio in each round:\n\n| | min | median | max |\n| --- | --- | --- | --- |\n");
  for (std::size_t under = ours; under < all.size(); ++under) {
    for (std::size_t over = 0; over < ours; ++over) {
      std::vector<double> ratios;
      for (int round = 0; round < rounds; ++round) {
        ratios.push_back(all[over].milliseconds[round] / all[under].milliseconds[round]);
      }
      std::printf("| %s / %s %s\n", all[over].name.c_str(), all[under].name.c_str(), spread(ratios).c_str());
    }
  }
}

}  // namespace
}  // namespace flowdarts

int main() {
  if (!torch::cuda::is_available()) {
    std::fputs("bench_gpu_step: there is no GPU in this machine\n", stderr);
    return 1;
  }
  flowdarts::measure();
}
