#pragma once
// Trains the stand-alone network of an architecture, on the flow graph of the searches.

#include <flowdarts/pipeline/run_directory/checkpoint.hpp>
#include <flowdarts/pipeline/run_directory/terminal.hpp>
#include <flowdarts/pipeline/training/setup.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

namespace flowdarts {

/// What a training has come to. Accuracies are from 0 to 1.
struct TrainingSummary {
  bool finished = false;  ///< false: interrupted by a signal
  int signal = 0;
  std::int64_t epochs = 0;  ///< completed
  double accuracy = 0;      ///< on the test images, of the last completed epoch
  std::optional<double> top5;
  double best_accuracy = 0;
  std::int64_t best_epoch = 0;
  StandAloneCounts counts;
  double seconds = 0;
};

/// Runs to the end, or to the first SIGINT or SIGTERM, whose checkpoint --resume goes on from; writes the run
/// directory, with result.json at the end. `resume`: goes on in options.run.out, from its newest checkpoint, which must
/// agree with `identity`. `config`: the complete configuration as TOML. Whatever is interrupted when, the weights of
/// the end are the same bits on a CPU. Throws InputError and RunError.
TrainingSummary train(const TrainOptions& options, const TrainingSetup& setup, bool resume, Identity identity,
                      const std::string& config, std::shared_ptr<Terminal> terminal);

}  // namespace flowdarts
