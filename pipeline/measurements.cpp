#include <algorithm>
#include <flowdarts/pipeline/measurements.hpp>
#include <flowdarts/spaces/support/random.hpp>
#include <flowdarts/stages/measure/feature_information.hpp>
#include <memory>

namespace flowdarts {
namespace {

// Places in Stream::subset's sequence that no split has.
constexpr std::uint32_t removal_subset = 2;
constexpr std::uint32_t feature_subset = 3;

std::vector<std::int64_t> drawn(std::vector<std::int64_t> ids, std::size_t count, CounterRng rng) {
  rng.shuffle(std::span(ids));
  ids.resize(std::min(ids.size(), count));
  return ids;
}

}  // namespace

Measurements::RankedRemoval Measurements::removal(double fraction, bool initial_val) const {
  const std::vector<std::int64_t>& val = initial_val ? *facts_.initial_val : *facts_.val;
  const auto count = static_cast<std::size_t>(fraction * static_cast<double>(val.size()) + 1e-9);
  const CounterRng rng(facts_.seed, Stream::subset, removal_subset, static_cast<std::uint32_t>(facts_.epoch));
  std::vector<std::int64_t> ids = drawn(val, std::max<std::size_t>(1, count), rng);
  RankedRemoval result{
      measure_removal(supernet_, facts_.op_weights, facts_.none_column, batches(Split::val, std::move(ids))), {}};
  result.ranks = rank_by_removal(result, supernet_.arch_shapes(), facts_.none_column);
  return result;
}

std::vector<std::vector<double>> Measurements::feature_information(std::int64_t images) const {
  const std::size_t count = images > 0 ? static_cast<std::size_t>(images) : facts_.train->size();
  std::vector<std::int64_t> ids = drawn(*facts_.train, count, CounterRng(facts_.seed, Stream::subset, feature_subset));
  return flowdarts::feature_information(supernet_, facts_.op_weights, batches(Split::train, std::move(ids)));
}

MeasureBatches Measurements::batches(Split split, std::vector<std::int64_t> ids) const {
  const auto total = static_cast<std::int64_t>(ids.size());
  const std::int64_t count = (total + facts_.batch_size - 1) / facts_.batch_size;
  auto images = std::make_shared<const std::vector<std::int64_t>>(std::move(ids));
  MeasureBatches batches{.count = count, .load = [this, split, images, total, count](std::int64_t index) {
                           const auto begin = images->begin() + total * index / count;
                           const auto end = images->begin() + total * (index + 1) / count;
                           BatchPlan plan{.split = split, .epoch = 0, .ids = {begin, end}, .augment = false};
                           if (facts_.shared != nullptr) plan = facts_.shared->share_of(std::move(plan));
                           return to_device(facts_.loader->load(plan), facts_.device);
                         }};
  if (facts_.shared != nullptr) {
    batches.add_up = [shared = facts_.shared](std::span<double> values) { shared->add_up(values); };
  }
  return batches;
}

}  // namespace flowdarts
