#pragma once
// The network that is trained from a searched NAS-Bench-201 cell.

#include <array>
#include <cstdint>
#include <flowdarts/spaces/nas_bench_201/ops.hpp>
#include <memory>

namespace flowdarts::nas_bench_201 {

class Cell;
struct PlainLayers;
template <class, class>
class Backbone;

/// The stand-alone network: one op an edge, every batch norm affine and tracked, no convolution bias.
class Network : public torch::nn::Module {
 public:
  /// ops: the column of each edge's op, in the order of cell_edges. channels: of the first stage; cells: in each stage.
  /// Throws InputError for a column outside [0, 5) and unless the other numbers are positive.
  Network(const std::array<int, cell_edges.size()>& ops, std::int64_t channels, std::int64_t cells,
          std::int64_t classes);
  ~Network() override;

  /// images [B, 3, H, W], H and W multiples of 4, in any memory format. Returns logits [B, classes].
  torch::Tensor forward(const torch::Tensor& images);

 private:
  std::shared_ptr<Backbone<Cell, PlainLayers>> backbone_;
};

}  // namespace flowdarts::nas_bench_201
