#pragma once
// What all measurements of a trained supernet share.

#include <torch/torch.h>

#include <cstdint>
#include <flowdarts/spaces/supernet.hpp>
#include <flowdarts/stages/weight_step/device_batch.hpp>
#include <functional>
#include <span>

namespace flowdarts {

/// The images a measurement runs over.
struct MeasureBatches {
  std::int64_t count = 0;
  std::function<DeviceBatch(std::int64_t)> load;  ///< of 0 .. count - 1; called in order, once each
  /// Where several processes share the batches: replaces values by their sums over the processes.
  std::function<void(std::span<double>)> add_up = {};
};

/// While it lives, a supernet is measured: batch norms use the batch's own statistics, since running ones are those of
/// a supernet with all its ops, and leave the running ones alone; no dropout; no gradients.
class Measuring {
 public:
  explicit Measuring(Supernet& supernet) : supernet_(supernet) {
    supernet_.train();
    supernet_.set_statistics_updates(false);
    supernet_.set_skip_dropout({});
  }
  Measuring(const Measuring&) = delete;
  Measuring& operator=(const Measuring&) = delete;
  ~Measuring() { supernet_.set_statistics_updates(true); }

 private:
  Supernet& supernet_;
  torch::NoGradGuard no_grad_;
};

}  // namespace flowdarts
