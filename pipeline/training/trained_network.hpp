#pragma once
// A network that `flowdarts train` has trained, read back from what it left on disk.

#include <cstdint>
#include <filesystem>
#include <flowdarts/spaces/stand_alone/network.hpp>

namespace flowdarts {

struct TrainedNetwork {
  StandAlone description;
  StandAloneNetwork network;  ///< on the CPU, in evaluation mode; with the averaged weights where there are such
  std::int64_t epoch = 0;     ///< completed epochs of its training
};

/// Reads a checkpoint file of a training, or the newest of a run directory's. Only reads: the training may go on
/// meanwhile. Throws InputError where there is no such checkpoint, or it is damaged or a search's.
TrainedNetwork load_trained(const std::filesystem::path& checkpoint_or_run);

}  // namespace flowdarts
