#include <flowdarts/pipeline/search_data.hpp>
#include <flowdarts/spaces/support/error.hpp>
#include <flowdarts/stages/load/augment.hpp>
#include <flowdarts/stages/load/sampler.hpp>
#include <flowdarts/stages/load/split.hpp>

#include <algorithm>
#include <iterator>
#include <numeric>

namespace flowdarts {
namespace {

/// Throws InputError for an option that would say once more what lists say.
void check_lists(const DataOptions& options) {
  const DataOptions defaults;
  const auto refuse = [](bool given, const char* option) {
    if (given) throw InputError(std::string(option) + ": found it beside --lists, which says what T and V are");
  };
  refuse(options.limit_samples.value != defaults.limit_samples.value, "--limit-samples");
  refuse(options.split.value != defaults.split.value, "--split");
  refuse(options.train_portion.value != defaults.train_portion.value, "--train-portion");
  refuse(options.val_portion.value != defaults.val_portion.value, "--val-portion");
  if (options.dataset.value != DatasetKind::folder) {
    throw InputError("--lists: found the data set " + std::string(name_in_options(options.dataset.value)) +
                     ", expected --dataset folder");
  }
}

// Folders are stored class by class: their first half would be half of the classes. So may shards be.
bool is_stratified(const DataOptions& options) {
  const bool by_class = options.dataset.value == DatasetKind::folder || options.dataset.value == DatasetKind::shards;
  return options.split.value == SplitKind::stratified || (options.split.value == SplitKind::automatic && by_class);
}

/// T and V of these images.
SplitLists split_of(const std::vector<std::int64_t>& ids, const Dataset& dataset, const DataOptions& options,
                    std::uint64_t seed) {
  if (options.val_portion > 0) {
    return stratified_parts(ids, dataset.labels(), dataset.classes(), options.train_portion, options.val_portion, seed);
  }
  return is_stratified(options)
             ? stratified_split(ids, dataset.labels(), dataset.classes(), options.train_portion, seed)
             : canonical_split(ids, options.train_portion);
}

}  // namespace

SearchData open_search_data(const DataOptions& options, std::uint64_t seed) {
  if (options.data.value.empty() && options.dataset.value != DatasetKind::fashion_mnist) {
    throw InputError("--data: found nothing, expected the folder that holds the files of " +
                     std::string(name_in_options(options.dataset.value)));
  }
  if (!options.lists.value.empty()) check_lists(options);
  if (options.val_portion > 0 && !is_stratified(options)) {
    throw InputError("--val-portion: found " + std::to_string(options.val_portion) +
                     " with a canonical split, expected --split stratified: it is a part of each class");
  }
  SearchData data;
  data.dataset = open_dataset({.kind = std::string(name_in_options(options.dataset.value)),
                               .path = options.data.value,
                               .part = Part::train,
                               .skip_corrupt = options.skip_corrupt,
                               .image_size = static_cast<int>(options.image_size.value),
                               .lists = options.lists.value});
  const Augmentation fits(data.dataset->geometry(), data.dataset->normalisation(), load_options(options));
  if (const auto& listed = data.dataset->listed_split()) {
    data.lists = {listed->train, listed->val};
    return data;
  }
  std::vector<std::int64_t> ids(static_cast<std::size_t>(data.dataset->size()));
  std::iota(ids.begin(), ids.end(), 0);
  const std::int32_t classes = data.dataset->classes();
  if (options.limit_samples > 0) {
    ids = limit_samples(ids, data.dataset->labels(), classes, options.limit_samples, seed);
  }
  SplitLists lists = split_of(ids, *data.dataset, options, seed);
  data.lists = {std::move(lists.train), std::move(lists.val)};
  return data;
}

SampleLists all_trains(const SampleLists& lists) {
  SampleLists all;
  std::ranges::merge(lists.train, lists.val, std::back_inserter(all.train));
  return all;
}

LoadOptions load_options(const DataOptions& options) {
  return {.padding = static_cast<int>(options.padding.value),
          .cutout = static_cast<int>(options.cutout.value),
          .jitter = {.brightness = options.jitter_brightness,
                     .contrast = options.jitter_contrast,
                     .saturation = options.jitter_saturation,
                     .hue = options.jitter_hue}};
}

EpochPlan plan_epoch(const PlanRequest& request, std::int64_t batch_size, std::uint64_t seed, bool with_val,
                     const Locality& locality) {
  if (request.lists->train.empty()) throw InputError("no samples left in train, expected at least one");
  EpochPlan plan{.request = request, .val_state_after = request.val_state};
  const std::vector<std::int64_t> order =
      epoch_order(request.lists->train, seed, Split::train, request.epoch, locality);
  for (std::size_t begin = 0; begin < order.size(); begin += static_cast<std::size_t>(batch_size)) {
    const std::size_t end = std::min(order.size(), begin + static_cast<std::size_t>(batch_size));
    plan.train_batches.emplace_back(order.begin() + static_cast<std::ptrdiff_t>(begin),
                                    order.begin() + static_cast<std::ptrdiff_t>(end));
  }
  if (with_val) {
    PersistentIterator iterator(request.lists->val, batch_size, seed, Split::val, request.val_state, locality);
    for (std::size_t step = 0; step < plan.train_batches.size(); ++step) plan.val_batches.push_back(iterator.next());
    plan.val_state_after = iterator.state();
  }
  return plan;
}

std::vector<std::int64_t> class_counts(const std::vector<std::int64_t>& ids, const Dataset& dataset) {
  std::vector<std::int64_t> counts(static_cast<std::size_t>(dataset.classes()), 0);
  for (const std::int64_t id : ids) ++counts[static_cast<std::size_t>(dataset.label(id))];
  return counts;
}

}  // namespace flowdarts
