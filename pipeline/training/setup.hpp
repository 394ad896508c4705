#pragma once
// What a training works with, opened and checked before anything is written.

#include <flowdarts/pipeline/training/options.hpp>
#include <flowdarts/spaces/stand_alone/spec.hpp>
#include <flowdarts/stages/load/augment.hpp>
#include <flowdarts/stages/load/dataset.hpp>

#include <cstdint>
#include <memory>
#include <vector>

namespace flowdarts {

struct TrainingSetup {
  StandAlone network;
  std::shared_ptr<const Dataset> train, test;
  std::vector<std::int64_t> ids;  ///< of the training images, ascending
};

/// Opens both parts of the data set and makes the network's description of what the options leave open. Throws
/// InputError where options do not fit the architecture's space, the data, or one another; the network has then been
/// tried on images of the data's size.
TrainingSetup open_training(const TrainOptions& options, const Architecture& architecture);

/// What open_device() and check_device() take.
RunOptions device_options(const TrainRunOptions& options);

/// How training images are augmented.
AugmentOptions augment_options(const TrainDataOptions& options);

}  // namespace flowdarts
