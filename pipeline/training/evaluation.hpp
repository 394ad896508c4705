#pragma once
// How well a network does on the test images.

#include <flowdarts/spaces/stand_alone/network.hpp>
#include <flowdarts/stages/load/batch_loader.hpp>

#include <cstdint>

namespace flowdarts {

struct TestResult {
  double loss = 0;           ///< mean cross-entropy
  std::int64_t correct = 0;  ///< images whose largest logit is their label's
  std::int64_t in_top5 = 0;  ///< images whose label is among the five largest logits
  std::int64_t images = 0;

  [[nodiscard]] double accuracy() const {
    return images > 0 ? static_cast<double>(correct) / static_cast<double>(images) : 0;
  }
  [[nodiscard]] double top5() const {
    return images > 0 ? static_cast<double>(in_top5) / static_cast<double>(images) : 0;
  }
};

/// Tests the network, in evaluation mode, on images 0 to count - 1 of the loader's data set, which `loader_threads`
/// load ahead. Leaves it in that mode. Throws what loading throws.
TestResult evaluate(const StandAloneNetwork& network, const BatchLoader& loader, std::int64_t count,
                    std::int64_t batch_size, int loader_threads, const torch::Device& device);

}  // namespace flowdarts
