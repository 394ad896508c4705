#pragma once
// The images of a search: opened, limited, split.

#include <flowdarts/pipeline/messages.hpp>
#include <flowdarts/pipeline/options.hpp>
#include <flowdarts/stages/load/batch_loader.hpp>
#include <flowdarts/stages/load/dataset.hpp>

#include <cstdint>
#include <memory>

namespace flowdarts {

struct SearchData {
  std::shared_ptr<const Dataset> dataset;
  SampleLists lists;  ///< T and V before any pruning
};

/// Opens the data set and makes T and V. Throws InputError, also for loading options that do not fit the images.
SearchData open_search_data(const DataOptions& options, std::uint64_t seed);

/// T with the samples of V, and an empty V.
SampleLists all_trains(const SampleLists& lists);

LoadOptions load_options(const DataOptions& options);

/// What one epoch visits: T shuffled by (seed, epoch), V from its iterator where `with_val`; both
/// read shards file after file. Throws InputError where one is empty, and as epoch_order().
EpochPlan plan_epoch(const PlanRequest& request, std::int64_t batch_size, std::uint64_t seed, bool with_val,
                     const Locality& locality = {});

/// How many samples of each class a list holds: [classes].
std::vector<std::int64_t> class_counts(const std::vector<std::int64_t>& ids, const Dataset& dataset);

}  // namespace flowdarts
