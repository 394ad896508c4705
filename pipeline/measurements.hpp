#pragma once
// What an importance policy measures a supernet with.

#include <torch/torch.h>

#include <cstdint>
#include <flowdarts/pipeline/shared_search.hpp>
#include <flowdarts/spaces/supernet.hpp>
#include <flowdarts/stages/load/batch_loader.hpp>
#include <flowdarts/stages/measure/removal.hpp>
#include <utility>
#include <vector>

namespace flowdarts {

/// The supernet of a search at one moment, and the images it may be measured on. Nothing it does changes weights,
/// alpha, statistics or a random stream that an update draws from. Used on the device executor's thread.
class Measurements {
 public:
  struct Facts {
    const BatchLoader* loader = nullptr;
    torch::Device device = torch::kCPU;
    std::uint64_t seed = 0;
    std::int64_t batch_size = 1;
    std::int64_t epoch = 0;  ///< under way, or completed
    std::int64_t none_column = -1;
    bool decides = false;                                    ///< the search's result follows from the measurement
    const std::vector<std::int64_t>* train = nullptr;        ///< T before any pruning
    const std::vector<std::int64_t>* val = nullptr;          ///< V as it is
    const std::vector<std::int64_t>* initial_val = nullptr;  ///< V before any pruning
    std::vector<torch::Tensor> op_weights = {};
    const SharedSearch* shared = nullptr;  ///< with whom the images are shared; null: with nobody
  };

  Measurements(Supernet& supernet, Facts facts) : supernet_(supernet), facts_(std::move(facts)) {}

  [[nodiscard]] bool decides() const { return facts_.decides; }

  struct RankedRemoval : Removal {
    std::vector<std::vector<double>> ranks;  ///< rank_by_removal()
  };
  /// measure_removal() on floor(fraction |V|) images, at least one, drawn by the seed and the epoch alone; not
  /// augmented.
  [[nodiscard]] RankedRemoval removal(double fraction, bool initial_val) const;

  /// feature_information() on so many images of T, the same at every moment of the search (0: all); not augmented.
  [[nodiscard]] std::vector<std::vector<double>> feature_information(std::int64_t images) const;

 private:
  /// The images in batches of nearly equal size, at most that of a step: what is left over must not make a batch too
  /// small for batch statistics.
  [[nodiscard]] MeasureBatches batches(Split split, std::vector<std::int64_t> ids) const;

  Supernet& supernet_;
  Facts facts_;
};

}  // namespace flowdarts
