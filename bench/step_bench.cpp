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

void oracle_step(benchmark::State& state, torch::MemoryFormat format) {
  at::set_num_threads(2);
  const WeightOptions weight_options;
  nas_bench_201::OracleSupernet supernet({.channels = state.range(0), .cells = state.range(1)});
  initialise(supernet, 1);
  const torch::NoGradGuard no_grad;
  for (auto& parameter : supernet.parameters()) {
    if (parameter.dim() == 4) parameter.set_data(parameter.contiguous(format));
  }
  WeightStep weight_step(supernet, weight_options);
  ArchStep<Softmax, FirstOrder, NoArchRegularizer> arch_step(supernet, initial_alphas(supernet.arch_shapes(), 1e-3, 1), {},
                                                     Softmax(), FirstOrder(), NoArchRegularizer());
  DeviceBatch train = random_batch(), val = random_batch();
  train.images = train.images.contiguous(format);
  val.images = val.images.contiguous(format);
  torch::AutoGradMode grad(true);
  for (auto _ : state) {
    arch_step(val, train, weight_step.optimizer(), weight_options, 0.025, 0, [](const auto&) {}, [](const auto&) {});
    weight_step(train, arch_step.op_weights(), 0.025, [](const auto&) {});
  }
}

BENCHMARK_CAPTURE(oracle_step, nchw, torch::MemoryFormat::Contiguous)->Args({16, 1})->Unit(benchmark::kMillisecond)->UseRealTime();
BENCHMARK_CAPTURE(oracle_step, nhwc, torch::MemoryFormat::ChannelsLast)->Args({16, 1})->Unit(benchmark::kMillisecond)->UseRealTime();

}  // namespace
}  // namespace flowdarts

BENCHMARK_MAIN();
