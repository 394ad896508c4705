#pragma once

#include <torch/torch.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace flowdarts::mixed_op {

/// The elements of weights [N] at some places, which increase: a view where they lie side by side. Nothing comes from
/// the host, so no device waits for it.
inline torch::Tensor weights_at(const torch::Tensor& weights, std::span<const std::int64_t> places) {
  std::vector<torch::Tensor> runs;
  for (std::size_t begin = 0, end = 0; begin < places.size(); begin = end) {
    do {
      ++end;
    } while (end < places.size() && places[end] == places[end - 1] + 1);
    runs.push_back(weights.narrow(0, places[begin], static_cast<std::int64_t>(end - begin)));
  }
  return runs.size() == 1 ? runs[0] : torch::cat(runs);
}

}  // namespace flowdarts::mixed_op
