#pragma once
// EL2N scores of a data set (Paul, Ganguli, Dziugaite: Deep learning on a data diet, NeurIPS 2021).

#include <flowdarts/stages/load/batch_loader.hpp>
#include <flowdarts/stages/load/sampler.hpp>

#include <torch/torch.h>

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace flowdarts {

struct El2nOptions {
  std::int64_t runs = 5;     ///< independent initialisations the score is averaged over
  std::int64_t epochs = 10;  ///< of each run's training
  std::uint64_t seed = 0;
  Locality locality = {};                      ///< how the samples want to be read
  std::int64_t first_run = 0, run_stride = 1;  ///< runs first_run, first_run + run_stride .. alone are made
};

/// The mean over the runs of ||softmax - one-hot||_2 after a short training of a small fixed network (three 3x3
/// convolutions of 16, 32, 64 channels) on the augmented samples `ids`, measured in evaluation mode on the samples as
/// they are. Returns one score for each sample of the data set, 0 for those not in `ids`; where some runs alone are
/// made, the part that they add to it. `stop` is asked between batches; once it says true, the scores so far are
/// returned and mean nothing.
std::vector<double> el2n_scores(const BatchLoader& loader, std::int64_t samples, std::int64_t classes,
                                std::span<const std::int64_t> ids, const torch::Device& device,
                                const El2nOptions& options, const std::function<bool()>& stop);

}  // namespace flowdarts
