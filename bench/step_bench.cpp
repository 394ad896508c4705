// One first-order step of the NAS-Bench-201 supernet: arch step on V, then weight step on T.

#include <flowdarts/policies/arch_regularizer/none.hpp>
#include <flowdarts/policies/bilevel/first_order.hpp>
#include <flowdarts/policies/relaxation/softmax.hpp>
#include <flowdarts/spaces/initialise.hpp>
#include <flowdarts/spaces/nas_bench_201/supernet.hpp>
#include <flowdarts/stages/arch_step/arch_step.hpp>
#include <flowdarts/stages/weight_step/weight_step.hpp>

#include <benchmark/benchmark.h>

#include <memory>

namespace flowdarts {
namespace {

constexpr std::int64_t batch_size = 64;
constexpr std::int64_t image_size = 32;

DeviceBatch random_batch() {
  return {torch::randn({batch_size, 3, image_size, image_size}), torch::randint(10, {batch_size})};
}

template <class Net>
void step(benchmark::State& state, Net&& supernet, torch::MemoryFormat format) {
  at::set_num_threads(2);
  const WeightOptions weight_options;
  initialise(supernet, 1);
  const torch::NoGradGuard no_grad;
  for (auto& parameter : supernet.parameters()) {
    if (parameter.dim() == 4) parameter.set_data(parameter.contiguous(format));
  }
  WeightStep weight_step(supernet, weight_options);
  ArchStep<Softmax, FirstOrder, NoArchRegularizer> arch_step(supernet, initial_alphas(supernet.arch_shapes(), 1e-3, 1),
                                                             {}, Softmax(), FirstOrder(), NoArchRegularizer());
  DeviceBatch train = random_batch(), val = random_batch();
  train.images = train.images.contiguous(format);
  val.images = val.images.contiguous(format);
  torch::AutoGradMode grad(true);
  for (auto _ : state) {
    arch_step(
        val, train, weight_step.optimizer(), weight_options, 0.025, 0, [](const auto&) {}, [](const auto&) {});
    weight_step(train, arch_step.op_weights(), 0.025, [](const auto&) {});
  }
}

nas_bench_201::SupernetSpec spec_of(const benchmark::State& state) {
  return {.channels = state.range(0), .cells = state.range(1)};
}

void oracle_nchw(benchmark::State& state) {
  step(state, nas_bench_201::OracleSupernet(spec_of(state)), torch::MemoryFormat::Contiguous);
}
void oracle_nhwc(benchmark::State& state) {
  step(state, nas_bench_201::OracleSupernet(spec_of(state)), torch::MemoryFormat::ChannelsLast);
}
void fused_fp32(benchmark::State& state) {
  step(state, nas_bench_201::FusedSupernet(spec_of(state)), torch::MemoryFormat::ChannelsLast);
}
void fused_bf16(benchmark::State& state) {
  step(state, nas_bench_201::FusedSupernet(spec_of(state), Precision::bf16), torch::MemoryFormat::ChannelsLast);
}

// ---- The convolutions of a step by LibTorch: those that read one node as one, each on tensors of its own ----

struct Conv {
  torch::Tensor x, weight, g;
  std::vector<std::int64_t> stride, padding;
  bool arch_dx;  // the arch step needs the gradient of its input
};

Conv make_conv(std::int64_t in, std::int64_t out, std::int64_t size, std::int64_t kernel, std::int64_t stride,
               at::ScalarType dtype, bool arch_dx) {
  const auto random = [&](at::IntArrayRef sizes) {
    return torch::randn(sizes).to(dtype).contiguous(torch::MemoryFormat::ChannelsLast);
  };
  return {random({batch_size, in, size, size}),
          random({out, in, kernel, kernel}),
          random({batch_size, out, size / stride, size / stride}),
          {stride, stride},
          {kernel / 2, kernel / 2},
          arch_dx};
}

std::vector<Conv> convolutions_of(const benchmark::State& state, at::ScalarType dtype) {
  std::vector<Conv> convs;
  std::int64_t channels = state.range(0);
  std::int64_t size = image_size;
  convs.push_back(make_conv(3, channels, size, 3, 1, dtype, false));
  for (int stage = 0; stage < 3; ++stage) {
    if (stage > 0) {
      convs.push_back(make_conv(channels, 2 * channels, size, 3, 2, dtype, true));
      convs.push_back(make_conv(2 * channels, 2 * channels, size / 2, 3, 1, dtype, true));
      convs.push_back(make_conv(channels, 2 * channels, size / 2, 1, 1, dtype, true));
      channels *= 2;
      size /= 2;
    }
    for (std::int64_t cell = 0; cell < state.range(1); ++cell) {
      for (int node = 0; node < 3; ++node) {
        for (const int kernel : {1, 3}) {
          convs.push_back(
              make_conv(channels, (3 - node) * channels, size, kernel, 1, dtype, stage > 0 || cell > 0 || node > 0));
        }
      }
    }
  }
  return convs;
}

void convolutions(benchmark::State& state, at::ScalarType dtype) {
  at::set_num_threads(2);
  const torch::NoGradGuard no_grad;
  const std::vector<Conv> convs = convolutions_of(state, dtype);
  const auto pass = [&](bool arch) {
    for (const Conv& c : convs) benchmark::DoNotOptimize(at::conv2d(c.x, c.weight, {}, c.stride, c.padding));
    for (const Conv& c : convs) {
      const bool stem = c.x.size(1) == 3;
      if (arch && !c.arch_dx) continue;
      benchmark::DoNotOptimize(at::convolution_backward(c.g, c.x, c.weight, at::OptionalIntArrayRef(), c.stride,
                                                        c.padding, {1, 1}, false, {0, 0}, 1, {!stem, !arch, false}));
    }
  };
  for (auto _ : state) {
    pass(true);
    pass(false);
  }
}
void convolutions_fp32(benchmark::State& state) {
  convolutions(state, torch::kFloat);
}
void convolutions_bf16(benchmark::State& state) {
  convolutions(state, torch::kBFloat16);
}

void settings(benchmark::internal::Benchmark* bench) {
  bench->ArgNames({"C", "N"})->Args({16, 1})->Unit(benchmark::kMillisecond)->UseRealTime();
}
BENCHMARK(oracle_nchw)->Apply(settings);
BENCHMARK(oracle_nhwc)->Apply(settings);
BENCHMARK(fused_fp32)->Apply(settings);
BENCHMARK(fused_bf16)->Apply(settings);
BENCHMARK(convolutions_fp32)->Apply(settings);
BENCHMARK(convolutions_bf16)->Apply(settings);

}  // namespace
}  // namespace flowdarts

BENCHMARK_MAIN();
