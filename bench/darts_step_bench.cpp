// One first-order step of the DARTS supernet: arch step on V, then weight step on T.

#include <flowdarts/policies/arch_regularizer/none.hpp>
#include <flowdarts/policies/bilevel/first_order.hpp>
#include <flowdarts/policies/relaxation/softmax.hpp>
#include <flowdarts/spaces/darts/supernet.hpp>
#include <flowdarts/spaces/initialise.hpp>
#include <flowdarts/stages/arch_step/arch_step.hpp>
#include <flowdarts/stages/weight_step/weight_step.hpp>

#include <benchmark/benchmark.h>

namespace flowdarts {
namespace {

template <class Net, class... Form>
void step(benchmark::State& state, torch::MemoryFormat format, Form... form) {
  at::set_num_threads(2);
  const WeightOptions weight_options;
  Net supernet({.channels = state.range(0), .cells = state.range(1)}, form...);
  initialise(supernet, 1);
  const auto random_batch = [&] {
    const std::int64_t size = state.range(2);
    return DeviceBatch{torch::randn({size, 3, 32, 32}).contiguous(format), torch::randint(10, {size})};
  };
  const torch::NoGradGuard no_grad;
  for (auto& parameter : supernet.parameters()) {
    if (parameter.dim() == 4) parameter.set_data(parameter.contiguous(format));
  }
  WeightStep weight_step(supernet, weight_options);
  ArchStep<Softmax, FirstOrder, NoArchRegularizer> arch_step(supernet, initial_alphas(supernet.arch_shapes(), 1e-3, 1),
                                                             {}, Softmax(), FirstOrder(), NoArchRegularizer());
  const DeviceBatch train = random_batch(), val = random_batch();
  torch::AutoGradMode grad(true);
  const auto both = [&] {
    arch_step(
        val, train, weight_step.optimizer(), weight_options, 0.025, 0, [](const auto&) {}, [](const auto&) {});
    weight_step(train, arch_step.op_weights(), 0.025, [](const auto&) {});
  };
  both();  // so that none pays for memory that is used the first time
  for (auto _ : state) both();
}

void oracle_nchw(benchmark::State& state) {
  step<darts::OracleSupernet>(state, torch::MemoryFormat::Contiguous);
}
void oracle_nhwc(benchmark::State& state) {
  step<darts::OracleSupernet>(state, torch::MemoryFormat::ChannelsLast);
}
void fused_fp32(benchmark::State& state) {
  step<darts::FusedSupernet>(state, torch::MemoryFormat::ChannelsLast);
}
void fused_bf16(benchmark::State& state) {
  step<darts::FusedSupernet>(state, torch::MemoryFormat::ChannelsLast, Precision::bf16);
}

void settings(benchmark::internal::Benchmark* bench) {
  bench->ArgNames({"C", "L", "batch"})->Args({16, 8, 64})->Unit(benchmark::kMillisecond)->UseRealTime();
}
BENCHMARK(oracle_nchw)->Apply(settings);
BENCHMARK(oracle_nhwc)->Apply(settings);
BENCHMARK(fused_fp32)->Apply(settings);
BENCHMARK(fused_bf16)->Apply(settings);

}  // namespace
}  // namespace flowdarts

BENCHMARK_MAIN();
