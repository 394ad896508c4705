// One pruning event on ImageNet's size, 1.28 million samples of 1000 classes: variance of error, ranking, class caps.
// Must take at most 150 ms on 2 cores (serial is the yardstick).

#include <benchmark/benchmark.h>

#include <flowdarts/spaces/support/random.hpp>
#include <flowdarts/stages/accumulate/error_history.hpp>
#include <flowdarts/stages/prune/prune.hpp>
#include <numeric>
#include <string>
#include <vector>

namespace {

using namespace flowdarts;

constexpr std::size_t samples = 1'280'000;
constexpr std::int64_t classes = 1000;

struct Window {
  std::vector<std::int32_t> labels;
  ErrorHistory history;
};

/// Five epochs of errors; classes of unequal size and fluctuation, so that the caps bind and refill walks far.
const Window& window() {
  static const Window result = [] {
    std::vector<std::int64_t> ids(samples);
    std::iota(ids.begin(), ids.end(), 0);
    std::vector<std::int32_t> labels(samples);
    std::vector<float> errors(samples);
    for (std::size_t i = 0; i < samples; ++i) {
      const double u = CounterRng(1, Stream::split, 0, 0, i).uniform();
      labels[i] = static_cast<std::int32_t>(u * (0.5 + 0.5 * u) * classes);
    }
    ErrorHistory history(ids);
    for (std::uint32_t epoch = 0; epoch < 5; ++epoch) {
      for (std::size_t i = 0; i < samples; ++i) {
        const double spread = 0.1 + static_cast<double>(labels[i]) / classes;
        errors[i] = static_cast<float>(spread * CounterRng(1, Stream::noise, 0, epoch, i).uniform());
      }
      history.observe(ids, errors);
      history.end_epoch();
    }
    return Window{std::move(labels), std::move(history)};
  }();
  return result;
}

void prune_event(benchmark::State& state, SortBackend backend, bool refill) {
  if (!is_available(backend)) {
    state.SkipWithError("not available in this build or on this machine");
    return;
  }
  const auto& [labels, history] = window();
  const auto device = backend == SortBackend::cuda ? make_device_sorter(samples) : nullptr;
  const Sorter sorter{.backend = backend, .device = device.get()};
  PruneEvent event;
  for (auto _ : state) {
    const VarianceOfError voe = history.voe();
    event = prune(labels, voe.variance, voe.eligible, classes, {.ratio = 0.15, .events = 20, .refill = refill}, sorter);
    benchmark::DoNotOptimize(event);
  }
  state.counters["removed"] = static_cast<double>(event.removed.size());
  state.counters["b"] = event.balance;
}

void score(benchmark::State& state) {
  const ErrorHistory& history = window().history;
  for (auto _ : state) benchmark::DoNotOptimize(history.voe());
}

void sort(benchmark::State& state, SortBackend backend) {
  if (!is_available(backend)) {
    state.SkipWithError("not available in this build or on this machine");
    return;
  }
  const VarianceOfError voe = window().history.voe();
  const auto device = backend == SortBackend::cuda ? make_device_sorter(samples) : nullptr;
  const Sorter sorter{.backend = backend, .device = device.get()};
  for (auto _ : state) {
    benchmark::DoNotOptimize(rank(voe.variance, voe.eligible, SortOrder::ascending, sorter));
  }
}

BENCHMARK(score)->Unit(benchmark::kMillisecond)->UseRealTime();
BENCHMARK_CAPTURE(sort, serial, SortBackend::serial)->Unit(benchmark::kMillisecond)->UseRealTime();
BENCHMARK_CAPTURE(sort, thrust, SortBackend::thrust)->Unit(benchmark::kMillisecond)->UseRealTime();
BENCHMARK_CAPTURE(sort, cuda, SortBackend::cuda)->Unit(benchmark::kMillisecond)->UseRealTime();
BENCHMARK_CAPTURE(prune_event, serial, SortBackend::serial, true)->Unit(benchmark::kMillisecond)->UseRealTime();
BENCHMARK_CAPTURE(prune_event, thrust, SortBackend::thrust, true)->Unit(benchmark::kMillisecond)->UseRealTime();
BENCHMARK_CAPTURE(prune_event, thrust_no_refill, SortBackend::thrust, false)
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();
BENCHMARK_CAPTURE(prune_event, cuda, SortBackend::cuda, true)->Unit(benchmark::kMillisecond)->UseRealTime();

}  // namespace

BENCHMARK_MAIN();
