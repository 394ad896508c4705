#pragma once
// What a fused search cell computes, known from its spec alone: the same on every device.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <flowdarts/spaces/nas_bench_201/ops.hpp>
#include <memory>
#include <vector>

namespace flowdarts::nas_bench_201 {

inline constexpr std::size_t source_nodes = cell_nodes - 1;
inline constexpr std::array<int, 2> kernels{1, 3};

constexpr int column_of_kernel(int kernel) {
  return kernel == 1 ? column::nor_conv_1x1 : column::nor_conv_3x3;
}

/// One convolution among those stacked: the edge it lives on and its slot, the position of its channels.
struct StackedConv {
  std::size_t edge;
  std::int64_t slot;
  std::size_t position;  // among all convolutions of the cell
  std::shared_ptr<const ReluConvBn> op;
};

/// What reads a node.
struct SourcePlan {
  std::array<std::vector<StackedConv>, kernels.size()> stacks;
  std::vector<std::size_t> skips, pools;  // edges

  [[nodiscard]] bool has_convs() const { return !stacks[0].empty() || !stacks[1].empty(); }
};

struct CellPlan {
  std::array<SourcePlan, source_nodes> sources;
  std::int64_t channels;
  std::int64_t partial;  // K: the first channels / K of a node are mixed
};

/// Where the variables of one convolution and its batch norm stand.
struct ConvPlaces {
  std::size_t weight, bias, gamma, beta;
};

// Calls f(stacked convolution) source by source, stack by stack.
template <class F>
void for_each_conv(const CellPlan& plan, const F& f) {
  for (const SourcePlan& source : plan.sources) {
    for (const auto& stack : source.stacks) std::ranges::for_each(stack, f);
  }
}

}  // namespace flowdarts::nas_bench_201
