#pragma once
// The gradient of a cell's node on a GPU, from all that reads the node, as one kernel. All pointers are to device
// memory; matrices are [pixels, channels] in channels-last memory. Nothing here waits for the device; sums are always
// added in the same order. T: float, double or Bf16. No LibTorch here.

#include <flowdarts/spaces/mixed_op/device_values.hpp>
#include <flowdarts/spaces/mixed_op/pool_cuda.hpp>
#include <flowdarts/spaces/mixed_op/rows.hpp>

#include <cstdint>
#include <string>

namespace flowdarts::mixed_op {

inline constexpr int max_node_readers = 16;  // of each kind

/// dx = sum_k weights[place of k] g_k over the direct readers, plus the same over the pooling readers taken through the
/// backward pass of an average pool, plus the sum of the gated gradients where gate > 0. A reader of weight 0 is not
/// read.
template <class T>
struct NodeGradient {
  struct Reader {
    Rows<const T> g;         // of the node that the reader adds to
    std::int32_t place = 0;  // of its weight among the weights
  };
  Reader direct[max_node_readers];
  Reader pooled[max_node_readers];
  Rows<const T> gated[max_node_readers];  // for example of convolutions that read the rectified node
  int direct_count = 0, pooled_count = 0, gated_count = 0;
  Rows<const T> gate;    // read where there are gated ones
  DeviceValues weights;  // or none: 1
  DevicePool pool{};     // input and output of one size; its sizes are those of dx, whether or not anything is pooled
  Rows<T> dx;            // written
};

/// Enqueues the pass on `stream` (a cudaStream_t) of the current device. At least one pixel and channel. Returns what
/// failed, nothing on success.
template <class T>
[[nodiscard]] std::string node_gradient_cuda(const NodeGradient<T>& node, void* stream);

}  // namespace flowdarts::mixed_op
