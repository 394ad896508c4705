#pragma once
// The 3x3 convolutions of a mixed op, on a CPU: all that read the same node in one pass over its images, C to C
// channels, stride 1, the size kept. They run by Winograd's minimal filtering F(2x2, 3x3) (Lavin and Gray, "Fast
// Algorithms for Convolutional Neural Networks", CVPR 2016): 16 products where 36 are usual; what is done to the input
// is done once for all convolutions. ReLU on the input and the step from a node's gradient to that of a convolution's
// output are part of the pass. Activations of type T: float, double or Bf16; everything else in Compute<T>.

#include <flowdarts/spaces/mixed_op/rows.hpp>

#include <cstdint>
#include <span>

namespace flowdarts::mixed_op {

/// The positions of a transformed 4x4 tile.
inline constexpr std::int64_t winograd_positions = 16;

/// Images [height, width, channels], and how many convolutions read them.
struct ConvShape {
  std::int64_t height;
  std::int64_t width;
  std::int64_t channels;
  std::int64_t convs;

  /// Images a call takes best: enough tiles to make use of weights once they are in the cache.
  [[nodiscard]] std::int64_t images_at_once() const;
  /// Numbers that a call on `images` images needs room for.
  [[nodiscard]] std::int64_t scratch(std::int64_t images) const;
  /// Weights of all convolutions, not transformed.
  [[nodiscard]] std::int64_t weights() const { return 9 * channels * channels * convs; }
  [[nodiscard]] std::int64_t transformed_weights() const { return winograd_positions * channels * channels * convs; }
};

/// transformed [16, count] = G w G' of the filters [begin, end) of w [3 x 3, count].
template <class A>
void winograd_weights(const A* weights, std::int64_t count, std::int64_t begin, std::int64_t end, A* transformed);

/// The transpose: the filters' gradient [3 x 3, count] from that of what winograd_weights() made [16, count].
template <class A>
void winograd_weight_gradients(const A* transformed, std::int64_t count, std::int64_t begin, std::int64_t end,
                               A* gradients);

/// Where a convolution's output goes; bias [channels], or null.
template <class T>
struct ConvOutput {
  Rows<T> y;
  const Compute<T>* bias;
};

/// y = conv(max(x, 0)) + bias of every convolution. weights: [16, C, convs C] (input channel first).
template <class T>
void convs_forward(const ConvShape& shape, std::int64_t images, Rows<const T> x, const Compute<T>* weights,
                   std::span<const ConvOutput<T>> outputs, Compute<T>* scratch);

/// The gradient of a convolution's output: a g + b y + d, each [channels], or a g where b is null.
template <class T>
struct ConvGradient {
  Rows<const T> g, y;
  const Compute<T>* a;
  const Compute<T>* b;
  const Compute<T>* d;
};

/// From the gradients of the outputs: dx [images, height, width, C], the gradient of max(x, 0), with weights
/// [16, convs C, C] (output channel first); and, added to weight_gradients, the gradient of what
/// convs_forward() takes as weights. Either is left out where null; x is needed for the second alone.
template <class T>
void convs_backward(const ConvShape& shape, std::int64_t images, Rows<const T> x, const Compute<T>* weights,
                    std::span<const ConvGradient<T>> gradients, T* dx, Compute<T>* weight_gradients,
                    Compute<T>* scratch);

}  // namespace flowdarts::mixed_op
