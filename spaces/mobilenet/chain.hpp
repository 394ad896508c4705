#pragma once
// The chain of the MobileNet-like space: stem, a fixed block, 21 searchable layers in six stages, head. Widths and
// strides are those of ProxylessNAS (Cai, Zhu, Han, ICLR 2019). No LibTorch.

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace flowdarts::mobilenet {

/// The candidates of a layer in the order of alpha's columns: MBConv of kernel k and expansion e, or no layer at all.
enum class Op : std::uint8_t { k3e3, k3e6, k5e3, k5e6, k7e3, k7e6, skip };

inline constexpr std::array<std::string_view, 7> op_names{"k3e3", "k3e6", "k5e3", "k5e6", "k7e3", "k7e6", "skip"};
inline constexpr int conv_op_count = 6;  // those that are not skip
constexpr std::string_view name_of(Op op) {
  return op_names[static_cast<std::size_t>(op)];
}

/// Of an MBConv.
constexpr int kernel_of(Op op) {
  return 3 + 2 * (static_cast<int>(op) / 2);
}
constexpr int expansion_of(Op op) {
  return static_cast<int>(op) % 2 == 0 ? 3 : 6;
}

/// Searchable layers: four in each of the stages 1 to 5, one in stage 6.
inline constexpr int layer_count = 21;
inline constexpr int stage_count = 7;  // with stage 0, the fixed block

constexpr int stage_of(int layer) {
  return 1 + layer / 4;
}
constexpr bool begins_stage(int layer) {
  return layer % 4 == 0;
}
/// Whether skip is a candidate: the first layer of a stage changes width or resolution, so it must be there.
constexpr bool may_skip(int layer) {
  return !begins_stage(layer);
}
/// Candidates of a layer, 6 or 7.
constexpr int columns_of(int layer) {
  return conv_op_count + (may_skip(layer) ? 1 : 0);
}
constexpr int stride_of(int layer) {
  constexpr std::array<int, stage_count> first{1, 2, 2, 2, 1, 2, 1};
  return begins_stage(layer) ? first[static_cast<std::size_t>(stage_of(layer))] : 1;
}

/// Channels along the chain.
struct Widths {
  int stem = 32;
  std::array<int, stage_count> stages{16, 32, 40, 80, 96, 192, 320};
  int head = 1280;

  bool operator==(const Widths&) const = default;
};

/// Reads nine numbers joined by commas: stem, stages 0 to 6, head. Throws InputError unless each is from 1 to 4096.
Widths parse_widths(std::string_view text);

/// What parse_widths() reads.
std::string to_string(const Widths& widths);

/// What a layer turns images of features into.
struct LayerShape {
  int in;  // channels
  int out;
  int stride;

  /// Where it holds, an MBConv has a shortcut around it.
  [[nodiscard]] constexpr bool keeps_shape() const { return stride == 1 && in == out; }
};

constexpr LayerShape shape_of(int layer, const Widths& widths) {
  const auto stage = static_cast<std::size_t>(stage_of(layer));
  return {widths.stages[begins_stage(layer) ? stage - 1 : stage], widths.stages[stage], stride_of(layer)};
}

/// The side of what a convolution of odd kernel, padded to keep the side at stride 1, makes of a side.
constexpr int strided(int side, int stride) {
  return (side + stride - 1) / stride;
}

/// The side behind the last layer.
constexpr int last_side(int image_size, int stem_stride) {
  int side = strided(image_size, stem_stride);
  for (int layer = 0; layer < layer_count; ++layer) side = strided(side, stride_of(layer));
  return side;
}

}  // namespace flowdarts::mobilenet
