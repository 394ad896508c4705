#pragma once
// The running average of a network's weights, with which it is tested (Polyak and Juditsky, 1992; as EfficientNet and
// timm do it).

#include <flowdarts/spaces/stand_alone/network.hpp>

namespace flowdarts {

/// average <- decay average + (1 - decay) weight after every step, of the batch norms' statistics too.
class WeightAverage {
 public:
  /// Begins with the values that `network`, built from `description`, has now, on its device.
  WeightAverage(const StandAlone& description, const StandAloneNetwork& network, double decay);

  void update(const StandAloneNetwork& network);

  /// The network with the averaged values.
  [[nodiscard]] const StandAloneNetwork& network() const { return average_; }

 private:
  StandAloneNetwork average_;
  double decay_;
};

}  // namespace flowdarts
