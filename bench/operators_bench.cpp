// Single operators of the search spaces against LibTorch's own, in channels-last (nhwc) and the references' memory
// (nchw): batch 64, 16 channels, 32x32, 2 threads. Compare in one run with
// --benchmark_repetitions=5 --benchmark_enable_random_interleaving=true.

#include <benchmark/benchmark.h>
#include <torch/torch.h>

#include <flowdarts/spaces/mixed_op/depthwise.hpp>
#include <flowdarts/spaces/mixed_op/pool.hpp>
#include <functional>
#include <string>
#include <vector>

namespace flowdarts {
namespace {

using Operator = std::function<torch::Tensor(const torch::Tensor& x, const torch::Tensor& weight)>;

struct Subject {
  std::string name;
  torch::Tensor weight;  // undefined: none
  Operator ours, libtorch;
};

Subject depthwise(const std::string& name, std::int64_t kernel, const DepthwiseOptions& options,
                  std::int64_t multiplier = 1) {
  return {name, torch::randn({16 * multiplier, 1, kernel, kernel}),
          [=](const auto& x, const auto& weight) { return depthwise_conv2d(x, weight, options); },
          [=](const auto& x, const auto& weight) {
            return torch::conv2d(options.relu_input ? x.relu() : x, weight, {}, options.stride, options.padding,
                                 options.dilation, x.size(1));
          }};
}

std::vector<Subject> subjects() {
  return {
      depthwise("depthwise_3x3", 3, {1, 1, 1}),
      depthwise("depthwise_5x5", 5, {1, 2, 1}),
      depthwise("depthwise_7x7", 7, {1, 3, 1}),
      depthwise("depthwise_3x3_dilation2", 3, {1, 2, 2}),
      depthwise("depthwise_5x5_dilation2", 5, {1, 4, 2}),
      depthwise("depthwise_3x3_stride2", 3, {2, 1, 1}),
      depthwise("depthwise_5x5_relu", 5, {1, 2, 1, true}),
      depthwise("depthwise_3x3_multiplier5", 3, {1, 1, 1}, 5),
      {"average_pool_3x3",
       {},
       [](const auto& x, const auto&) { return average_pool2d(x); },
       [](const auto& x, const auto&) {
         return torch::avg_pool2d(x, 3, 1, 1, /*ceil_mode=*/false, /*count_include_pad=*/false);
       }},
      {"max_pool_3x3",
       {},
       [](const auto& x, const auto&) { return flowdarts::max_pool2d(x, PoolOptions()); },
       [](const auto& x, const auto&) { return torch::max_pool2d(x, 3, 1, 1); }},
  };
}

void run(benchmark::State& state, const Subject& subject, const Operator& op, torch::Dtype type,
         torch::MemoryFormat format, bool with_backward) {
  at::set_num_threads(2);
  torch::Tensor x = torch::randn({64, 16, 32, 32}).to(type).contiguous(format).requires_grad_(with_backward);
  torch::Tensor weight;
  std::vector<torch::Tensor> inputs{x};
  if (subject.weight.defined()) {
    weight = subject.weight.to(type, /*non_blocking=*/false, /*copy=*/true).requires_grad_(with_backward);
    inputs.push_back(weight);
  }
  const torch::Tensor g = torch::randn(op(x, weight).sizes()).to(type).contiguous(format);
  for (auto _ : state) {
    torch::Tensor out = op(x, weight);
    if (with_backward) benchmark::DoNotOptimize(torch::autograd::grad({out}, inputs, {g}));
    benchmark::DoNotOptimize(out);
  }
}

void register_all() {
  for (const Subject& subject : subjects()) {
    for (const auto type : {torch::kFloat, torch::kBFloat16}) {
      for (const bool with_backward : {false, true}) {
        const auto add = [&](const std::string& who, const Operator& op, torch::MemoryFormat format) {
          const std::string name = subject.name + (type == torch::kFloat ? "/fp32" : "/bf16") +
                                   (with_backward ? "/forward_backward/" : "/forward/") + who;
          benchmark::RegisterBenchmark(
              name.c_str(), [=](benchmark::State& state) { run(state, subject, op, type, format, with_backward); })
              ->Unit(benchmark::kMillisecond)
              ->UseRealTime();
        };
        add("flowdarts", subject.ours, torch::MemoryFormat::ChannelsLast);
        add("libtorch_nhwc", subject.libtorch, torch::MemoryFormat::ChannelsLast);
        add("libtorch_nchw", subject.libtorch, torch::MemoryFormat::Contiguous);
      }
    }
  }
}

}  // namespace
}  // namespace flowdarts

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  flowdarts::register_all();
  benchmark::RunSpecifiedBenchmarks();
}
