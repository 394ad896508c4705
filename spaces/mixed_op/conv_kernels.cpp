#include <flowdarts/spaces/mixed_op/conv_kernels.hpp>

#include <algorithm>
#include <array>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "flowdarts/spaces/mixed_op/conv_kernels.cpp"
#include <hwy/foreach_target.h>  // compiles what follows once for each instruction set

#include <flowdarts/spaces/mixed_op/product-inl.hpp>

#ifndef FLOWDARTS_MIXED_OP_CONV_LAYOUT
#define FLOWDARTS_MIXED_OP_CONV_LAYOUT
namespace flowdarts::mixed_op {
namespace {

// Tiles worked on together: their data and the weights stay in the second-level cache.
constexpr std::int64_t block_tiles = 64;
constexpr std::int64_t block_channels = 64;  // of outputs

/// How the scratch of a call is laid out.
struct Layout {
  std::int64_t tile_rows, tile_columns;          // of an image: tiles of 2x2 outputs
  std::int64_t padded_width;                     // in pixels; a padded image has a border of zeros
  std::int64_t padded_image;                     // elements, each with the border
  std::int64_t chunk;                            // convolutions whose outputs are worked on together
  std::int64_t input_position, output_position;  // elements from one position of a transformed block to the next

  explicit Layout(const ConvShape& shape)
      : tile_rows((shape.height + 1) / 2),
        tile_columns((shape.width + 1) / 2),
        padded_width(2 * tile_columns + 2),
        padded_image((2 * tile_rows + 2) * padded_width * shape.channels),
        chunk(std::max<std::int64_t>(1, block_channels / shape.channels)),
        // A cache line off the powers of two: 16 positions of one tile would compete for the same few places.
        input_position(block_tiles * shape.channels + 16),
        output_position(block_tiles * std::min(chunk, shape.convs) * shape.channels + 16) {}

  [[nodiscard]] std::int64_t tiles() const { return tile_rows * tile_columns; }
};

/// The parts of the scratch. Forwards, `output` is a block of transformed outputs; backwards, of their transformed
/// gradients, and `product` of the input's.
template <class A>
struct Scratch {
  A *padded, *padded_gradient;  // the rectified input and its gradient, with their borders
  A *input, *product, *output;  // blocks of transformed tiles

  Scratch(A* begin, const Layout& layout, std::int64_t images)
      : padded(begin),
        padded_gradient(padded + images * layout.padded_image),
        input(padded_gradient + images * layout.padded_image),
        product(input + winograd_positions * layout.input_position),
        output(product + winograd_positions * layout.input_position) {}
};

}  // namespace

}  // namespace flowdarts::mixed_op
#endif

HWY_BEFORE_NAMESPACE();
namespace flowdarts::mixed_op::HWY_NAMESPACE {
namespace {

// ---- Transforms of tiles; v[row][column] ----

template <class V>
using Tile = V[4][4];

// B' v B of an input tile.
template <class V>
HWY_INLINE void transform_input(Tile<V>& v) {
  const auto line = [](V& v0, V& v1, V& v2, V& v3) HWY_ATTR {
    const V first = v1, second = v2;
    v0 = hn::Sub(v0, second);
    v3 = hn::Sub(first, v3);
    v1 = hn::Add(first, second);
    v2 = hn::Sub(second, first);
  };
  HWY_UNROLL(4)
  for (int i = 0; i < 4; ++i) line(v[0][i], v[1][i], v[2][i], v[3][i]);
  HWY_UNROLL(4)
  for (int i = 0; i < 4; ++i) line(v[i][0], v[i][1], v[i][2], v[i][3]);
}

// Its transpose, B v B': from the gradient of a transformed tile to that of the tile.
template <class V>
HWY_INLINE void transform_input_gradient(Tile<V>& v) {
  const auto line = [](V& v0, V& v1, V& v2, V& v3) HWY_ATTR {
    const V first = v1, second = v2;
    v1 = hn::Add(hn::Sub(first, second), v3);
    v2 = hn::Sub(hn::Add(first, second), v0);
    v3 = hn::Neg(v3);
  };
  HWY_UNROLL(4)
  for (int i = 0; i < 4; ++i) line(v[0][i], v[1][i], v[2][i], v[3][i]);
  HWY_UNROLL(4)
  for (int i = 0; i < 4; ++i) line(v[i][0], v[i][1], v[i][2], v[i][3]);
}

// A' v A of a transformed output tile: its 2x2 outputs, left in v[0..1][0..1].
template <class V>
HWY_INLINE void transform_output(Tile<V>& v) {
  const auto line = [](V& v0, V& v1, const V& v2, const V& v3) HWY_ATTR {
    const V first = v1;
    v0 = hn::Add(v0, hn::Add(first, v2));
    v1 = hn::Sub(hn::Sub(first, v2), v3);
  };
  HWY_UNROLL(4)
  for (int i = 0; i < 4; ++i) line(v[0][i], v[1][i], v[2][i], v[3][i]);
  HWY_UNROLL(2)
  for (int i = 0; i < 2; ++i) line(v[i][0], v[i][1], v[i][2], v[i][3]);
}

// Its transpose, A v A', of 2x2 gradients in v[0..1][0..1].
template <class V>
HWY_INLINE void transform_output_gradient(Tile<V>& v) {
  const auto line = [](const V& v0, V& v1, V& v2, V& v3) HWY_ATTR {
    const V first = v0, second = v1;
    v1 = hn::Add(first, second);
    v2 = hn::Sub(first, second);
    v3 = hn::Neg(second);
  };
  HWY_UNROLL(2)
  for (int i = 0; i < 2; ++i) line(v[i][0], v[i][1], v[i][2], v[i][3]);
  HWY_UNROLL(4)
  for (int i = 0; i < 4; ++i) line(v[0][i], v[1][i], v[2][i], v[3][i]);
}

template <class A>
void winograd_weights_of(const A* w, std::int64_t count, std::int64_t begin, std::int64_t end, A* out) {
  const auto transform = [&](auto d, std::int64_t c) HWY_ATTR {
    using V = hn::Vec<decltype(d)>;
    const V half = hn::Set(d, A(0.5));
    const auto line = [&](V v0, V v1, V v2, V& t0, V& t1, V& t2, V& t3) HWY_ATTR {
      const V outer = hn::Mul(half, hn::Add(v0, v2)), inner = hn::Mul(half, v1);
      t0 = v0;
      t1 = hn::Add(outer, inner);
      t2 = hn::Sub(outer, inner);
      t3 = v2;
    };
    V rows[4][3], t[4];
    for (int i = 0; i < 3; ++i) {
      const A* from = w + i * count + c;
      line(hn::LoadU(d, from), hn::LoadU(d, from + 3 * count), hn::LoadU(d, from + 6 * count), rows[0][i], rows[1][i],
           rows[2][i], rows[3][i]);
    }
    for (int i = 0; i < 4; ++i) {
      line(rows[i][0], rows[i][1], rows[i][2], t[0], t[1], t[2], t[3]);
      for (int j = 0; j < 4; ++j) hn::StoreU(t[j], d, out + (4 * i + j) * count + c);
    }
  };
  for_channel_blocks<A>(end, transform, begin);
}

template <class A>
void winograd_weight_gradients_of(const A* transformed, std::int64_t count, std::int64_t begin, std::int64_t end,
                                  A* out) {
  const auto transform = [&](auto d, std::int64_t c) HWY_ATTR {
    using V = hn::Vec<decltype(d)>;
    const V half = hn::Set(d, A(0.5));
    const auto line = [&](V t0, V t1, V t2, V t3, V& v0, V& v1, V& v2) HWY_ATTR {
      const V sum = hn::Mul(half, hn::Add(t1, t2));
      v0 = hn::Add(t0, sum);
      v1 = hn::Mul(half, hn::Sub(t1, t2));
      v2 = hn::Add(sum, t3);
    };
    V rows[3][4], v[3];
    for (int i = 0; i < 4; ++i) {
      const A* from = transformed + i * count + c;
      line(hn::LoadU(d, from), hn::LoadU(d, from + 4 * count), hn::LoadU(d, from + 8 * count),
           hn::LoadU(d, from + 12 * count), rows[0][i], rows[1][i], rows[2][i]);
    }
    for (int i = 0; i < 3; ++i) {
      line(rows[i][0], rows[i][1], rows[i][2], rows[i][3], v[0], v[1], v[2]);
      for (int j = 0; j < 3; ++j) hn::StoreU(v[j], d, out + (3 * i + j) * count + c);
    }
  };
  for_channel_blocks<A>(end, transform, begin);
}

// ---- A call ----

/// What both passes do, on the images of one call.
template <class T>
class Convs {
 public:
  using A = Compute<T>;

  Convs(const ConvShape& shape, std::int64_t images, A* scratch)
      : shape_(shape), layout_(shape), images_(images), scratch_(scratch, layout_, images) {}

  void forward(Rows<const T> x, const A* weights, std::span<const ConvOutput<T>> outputs) {
    rectify(x);
    for_blocks(images_ * layout_.tiles(), [&](std::int64_t first, std::int64_t count) HWY_ATTR {
      transform_inputs(first, count);
      for_chunks([&](std::int64_t conv, std::int64_t convs) HWY_ATTR {
        const std::int64_t columns = convs * shape_.channels;
        for (std::int64_t p = 0; p < winograd_positions; ++p) {
          product(count, columns, shape_.channels,
                  ByRows<A>{scratch_.input + p * layout_.input_position, shape_.channels},
                  {weights + p * filters() + conv * shape_.channels, out_channels()},
                  {scratch_.output + p * layout_.output_position, columns}, false);
        }
        for (std::int64_t i = 0; i < convs; ++i) write_tiles(first, count, outputs[conv + i], i, columns);
      });
    });
  }

  void backward(Rows<const T> x, const A* weights, std::span<const ConvGradient<T>> gradients, T* dx,
                A* weight_gradients) {
    if (weight_gradients != nullptr) rectify(x);
    if (dx != nullptr) std::fill_n(scratch_.padded_gradient, images_ * layout_.padded_image, A(0));
    for_blocks(images_ * layout_.tiles(), [&](std::int64_t first, std::int64_t count) HWY_ATTR {
      if (weight_gradients != nullptr) transform_inputs(first, count);
      for_chunks([&](std::int64_t conv, std::int64_t convs) HWY_ATTR {
        const std::int64_t columns = convs * shape_.channels;
        for (std::int64_t i = 0; i < convs; ++i) transform_gradients(first, count, gradients[conv + i], i, columns);
        for (std::int64_t p = 0; p < winograd_positions; ++p) {
          A* gradient = scratch_.output + p * layout_.output_position;
          if (dx != nullptr) {
            product(count, shape_.channels, columns, ByRows<A>{gradient, columns},
                    {weights + p * filters() + conv * shape_.channels * shape_.channels, shape_.channels},
                    {scratch_.product + p * layout_.input_position, shape_.channels}, conv > 0);
          }
          if (weight_gradients != nullptr) {
            product(shape_.channels, columns, count,
                    ByColumns<A>{scratch_.input + p * layout_.input_position, shape_.channels}, {gradient, columns},
                    {weight_gradients + p * filters() + conv * shape_.channels, out_channels()}, true);
          }
        }
      });
      if (dx != nullptr) add_input_gradients(first, count);
    });
    if (dx != nullptr) write_input_gradients(dx);
  }

 private:
  [[nodiscard]] std::int64_t out_channels() const { return shape_.convs * shape_.channels; }
  [[nodiscard]] std::int64_t filters() const { return shape_.channels * out_channels(); }

  template <class F>
  static HWY_INLINE void for_blocks(std::int64_t all, const F& f) {
    for (std::int64_t first = 0; first < all; first += block_tiles) f(first, std::min(block_tiles, all - first));
  }
  template <class F>
  HWY_INLINE void for_chunks(const F& f) const {
    for (std::int64_t c = 0; c < shape_.convs; c += layout_.chunk) f(c, std::min(layout_.chunk, shape_.convs - c));
  }

  /// Where a tile's outputs begin, in pixels of the call's images; how many there are.
  struct Place {
    std::int64_t pixel;
    std::int64_t padded;  // element of the padded images
    std::int64_t height, width;
  };
  // Calls f(tile of the block, its place).
  template <class F>
  HWY_INLINE void for_tiles(std::int64_t first, std::int64_t count, const F& f) const {
    std::int64_t image = first / layout_.tiles();
    std::int64_t row = first % layout_.tiles() / layout_.tile_columns;
    std::int64_t column = first % layout_.tile_columns;
    for (std::int64_t t = 0; t < count; ++t) {
      f(t, Place{(image * shape_.height + 2 * row) * shape_.width + 2 * column,
                 image * layout_.padded_image + (2 * row * layout_.padded_width + 2 * column) * shape_.channels,
                 std::min<std::int64_t>(2, shape_.height - 2 * row),
                 std::min<std::int64_t>(2, shape_.width - 2 * column)});
      if (++column < layout_.tile_columns) continue;
      column = 0;
      if (++row < layout_.tile_rows) continue;
      row = 0;
      ++image;
    }
  }

  // The input's images, rectified, with a border of zeros.
  void rectify(Rows<const T> x) {
    const std::int64_t channels = shape_.channels;
    std::fill_n(scratch_.padded, images_ * layout_.padded_image, A(0));
    for_rows([&](std::int64_t pixel, std::int64_t padded) HWY_ATTR {
      A* HWY_RESTRICT to = scratch_.padded + padded;
      for (std::int64_t p = 0; p < shape_.width; ++p) {
        const T* HWY_RESTRICT from = x.from(pixel + p).data;
        for_channel_blocks<A>(channels, [&](auto d, std::int64_t c) HWY_ATTR {
          hn::StoreU(rectified(load(d, from + c)), d, to + p * channels + c);
        });
      }
    });
  }

  // Calls f(first pixel, its element in the padded images) for the rows of the images.
  template <class F>
  HWY_INLINE void for_rows(const F& f) const {
    for (std::int64_t image = 0; image < images_; ++image) {
      for (std::int64_t row = 0; row < shape_.height; ++row) {
        f((image * shape_.height + row) * shape_.width,
          image * layout_.padded_image + ((row + 1) * layout_.padded_width + 1) * shape_.channels);
      }
    }
  }

  // A tile of a block of transformed ones.
  template <class D, class V>
  static HWY_INLINE void load_tile(D d, const A* from, std::int64_t position, Tile<V>& v) {
    HWY_UNROLL(16)
    for (int p = 0; p < 16; ++p) v[p / 4][p % 4] = hn::LoadU(d, from + p * position);
  }
  template <class D, class V>
  static HWY_INLINE void store_tile(D d, const Tile<V>& v, A* to, std::int64_t position) {
    HWY_UNROLL(16)
    for (int p = 0; p < 16; ++p) hn::StoreU(v[p / 4][p % 4], d, to + p * position);
  }

  void transform_inputs(std::int64_t first, std::int64_t count) {
    const std::int64_t row = layout_.padded_width * shape_.channels;
    for_tiles(first, count, [&](std::int64_t t, const Place& place) HWY_ATTR {
      for_channel_blocks<A>(shape_.channels, [&](auto d, std::int64_t c) HWY_ATTR {
        const A* HWY_RESTRICT from = scratch_.padded + place.padded + c;
        Tile<hn::Vec<decltype(d)>> v;
        HWY_UNROLL(16)
        for (int p = 0; p < 16; ++p) v[p / 4][p % 4] = hn::LoadU(d, from + p / 4 * row + p % 4 * shape_.channels);
        transform_input(v);
        store_tile(d, v, scratch_.input + t * shape_.channels + c, layout_.input_position);
      });
    });
  }

  // The outputs of the chunk's i-th convolution.
  void write_tiles(std::int64_t first, std::int64_t count, const ConvOutput<T>& output, std::int64_t i,
                   std::int64_t columns) {
    for_tiles(first, count, [&](std::int64_t t, const Place& place) HWY_ATTR {
      for_channel_blocks<A>(shape_.channels, [&](auto d, std::int64_t c) HWY_ATTR {
        Tile<hn::Vec<decltype(d)>> v;
        load_tile(d, scratch_.output + t * columns + i * shape_.channels + c, layout_.output_position, v);
        transform_output(v);
        const auto bias = output.bias != nullptr ? hn::LoadU(d, output.bias + c) : hn::Zero(d);
        for (std::int64_t y = 0; y < place.height; ++y) {
          T* HWY_RESTRICT to = output.y.from(place.pixel + y * shape_.width).data + c;
          store(hn::Add(v[y][0], bias), d, to);
          if (place.width > 1) store(hn::Add(v[y][1], bias), d, to + output.y.stride);
        }
      });
    });
  }

  // The gradient of a convolution's output, channels c and on.
  template <class D>
  class GradientAt {
   public:
    GradientAt(D d, const ConvGradient<T>& from, std::int64_t c)
        : d_(d),
          from_(from),
          c_(c),
          a_(hn::LoadU(d, from.a + c)),
          b_(from.b != nullptr ? hn::LoadU(d, from.b + c) : hn::Zero(d)),
          shift_(from.b != nullptr ? hn::LoadU(d, from.d + c) : hn::Zero(d)) {}
    HWY_INLINE hn::Vec<D> operator()(std::int64_t pixel) const {
      const auto g = load(d_, from_.g.data + pixel * from_.g.stride + c_);
      if (from_.b == nullptr) return hn::Mul(a_, g);
      return hn::MulAdd(a_, g, hn::MulAdd(b_, load(d_, from_.y.data + pixel * from_.y.stride + c_), shift_));
    }

   private:
    D d_;
    const ConvGradient<T>& from_;
    std::int64_t c_;
    hn::Vec<D> a_, b_, shift_;
  };

  void transform_gradients(std::int64_t first, std::int64_t count, const ConvGradient<T>& from, std::int64_t i,
                           std::int64_t columns) {
    for_channel_blocks<A>(shape_.channels, [&](auto d, std::int64_t c) HWY_ATTR {
      const GradientAt<decltype(d)> gradient(d, from, c);
      for_tiles(first, count, [&](std::int64_t t, const Place& place) HWY_ATTR {
        Tile<hn::Vec<decltype(d)>> v;
        const auto zero = hn::Zero(d);
        v[0][0] = gradient(place.pixel);
        v[0][1] = place.width > 1 ? gradient(place.pixel + 1) : zero;
        v[1][0] = place.height > 1 ? gradient(place.pixel + shape_.width) : zero;
        v[1][1] = place.height > 1 && place.width > 1 ? gradient(place.pixel + shape_.width + 1) : zero;
        transform_output_gradient(v);
        store_tile(d, v, scratch_.output + t * columns + i * shape_.channels + c, layout_.output_position);
      });
    });
  }

  // Tiles overlap, so what they say of a pixel adds up.
  void add_input_gradients(std::int64_t first, std::int64_t count) {
    const std::int64_t row = layout_.padded_width * shape_.channels;
    for_tiles(first, count, [&](std::int64_t t, const Place& place) HWY_ATTR {
      for_channel_blocks<A>(shape_.channels, [&](auto d, std::int64_t c) HWY_ATTR {
        Tile<hn::Vec<decltype(d)>> v;
        load_tile(d, scratch_.product + t * shape_.channels + c, layout_.input_position, v);
        transform_input_gradient(v);
        A* HWY_RESTRICT to = scratch_.padded_gradient + place.padded + c;
        HWY_UNROLL(16)
        for (int p = 0; p < 16; ++p) {
          A* at = to + p / 4 * row + p % 4 * shape_.channels;
          hn::StoreU(hn::Add(hn::LoadU(d, at), v[p / 4][p % 4]), d, at);
        }
      });
    });
  }

  void write_input_gradients(T* dx) {
    for_rows([&](std::int64_t pixel, std::int64_t padded) HWY_ATTR {
      const A* HWY_RESTRICT from = scratch_.padded_gradient + padded;
      T* HWY_RESTRICT to = dx + pixel * shape_.channels;
      for_channel_blocks<A>(shape_.width * shape_.channels,
                            [&](auto d, std::int64_t c) HWY_ATTR { store(hn::LoadU(d, from + c), d, to + c); });
    });
  }

  ConvShape shape_;
  Layout layout_;
  std::int64_t images_;
  Scratch<A> scratch_;
};

// HWY_EXPORT takes plain functions: one of each kind a type.
#define FLOWDARTS_KERNELS(A, NAME)                                                                         \
  void winograd_weights_##NAME(const A* weights, std::int64_t count, std::int64_t begin, std::int64_t end, \
                               A* transformed) {                                                           \
    winograd_weights_of(weights, count, begin, end, transformed);                                          \
  }                                                                                                        \
  void winograd_weight_gradients_##NAME(const A* transformed, std::int64_t count, std::int64_t begin,      \
                                        std::int64_t end, A* gradients) {                                  \
    winograd_weight_gradients_of(transformed, count, begin, end, gradients);                               \
  }
FLOWDARTS_KERNELS(float, float)
FLOWDARTS_KERNELS(double, double)
#undef FLOWDARTS_KERNELS

#define FLOWDARTS_KERNELS(T, NAME)                                                                                    \
  void convs_forward_##NAME(const ConvShape& shape, std::int64_t images, Rows<const T> x, const Compute<T>* weights,  \
                            std::span<const ConvOutput<T>> outputs, Compute<T>* scratch) {                            \
    Convs<T>(shape, images, scratch).forward(x, weights, outputs);                                                    \
  }                                                                                                                   \
  void convs_backward_##NAME(const ConvShape& shape, std::int64_t images, Rows<const T> x, const Compute<T>* weights, \
                             std::span<const ConvGradient<T>> gradients, T* dx, Compute<T>* weight_gradients,         \
                             Compute<T>* scratch) {                                                                   \
    Convs<T>(shape, images, scratch).backward(x, weights, gradients, dx, weight_gradients);                           \
  }
FLOWDARTS_KERNELS(float, float)
FLOWDARTS_KERNELS(double, double)
FLOWDARTS_KERNELS(Bf16, bf16)
#undef FLOWDARTS_KERNELS

}  // namespace
}  // namespace flowdarts::mixed_op::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace flowdarts::mixed_op {

std::int64_t ConvShape::images_at_once() const {
  return std::max<std::int64_t>(1, block_tiles / Layout(*this).tiles());
}

std::int64_t ConvShape::scratch(std::int64_t images) const {
  const Layout layout(*this);
  return 2 * images * layout.padded_image + winograd_positions * (2 * layout.input_position + layout.output_position);
}

#define FLOWDARTS_KERNELS(A, NAME)                                                                                  \
  HWY_EXPORT(winograd_weights_##NAME);                                                                              \
  HWY_EXPORT(winograd_weight_gradients_##NAME);                                                                     \
  template <>                                                                                                       \
  void winograd_weights<A>(const A* weights, std::int64_t count, std::int64_t begin, std::int64_t end,              \
                           A* transformed) {                                                                        \
    HWY_DYNAMIC_DISPATCH(winograd_weights_##NAME)(weights, count, begin, end, transformed);                         \
  }                                                                                                                 \
  template <>                                                                                                       \
  void winograd_weight_gradients<A>(const A* transformed, std::int64_t count, std::int64_t begin, std::int64_t end, \
                                    A* gradients) {                                                                 \
    HWY_DYNAMIC_DISPATCH(winograd_weight_gradients_##NAME)(transformed, count, begin, end, gradients);              \
  }
FLOWDARTS_KERNELS(float, float)
FLOWDARTS_KERNELS(double, double)
#undef FLOWDARTS_KERNELS

#define FLOWDARTS_KERNELS(T, NAME)                                                                                    \
  HWY_EXPORT(convs_forward_##NAME);                                                                                   \
  HWY_EXPORT(convs_backward_##NAME);                                                                                  \
  template <>                                                                                                         \
  void convs_forward<T>(const ConvShape& shape, std::int64_t images, Rows<const T> x, const Compute<T>* weights,      \
                        std::span<const ConvOutput<T>> outputs, Compute<T>* scratch) {                                \
    HWY_DYNAMIC_DISPATCH(convs_forward_##NAME)(shape, images, x, weights, outputs, scratch);                          \
  }                                                                                                                   \
  template <>                                                                                                         \
  void convs_backward<T>(const ConvShape& shape, std::int64_t images, Rows<const T> x, const Compute<T>* weights,     \
                         std::span<const ConvGradient<T>> gradients, T* dx, Compute<T>* weight_gradients,             \
                         Compute<T>* scratch) {                                                                       \
    HWY_DYNAMIC_DISPATCH(convs_backward_##NAME)(shape, images, x, weights, gradients, dx, weight_gradients, scratch); \
  }
FLOWDARTS_KERNELS(float, float)
FLOWDARTS_KERNELS(double, double)
FLOWDARTS_KERNELS(Bf16, bf16)
#undef FLOWDARTS_KERNELS

}  // namespace flowdarts::mixed_op
#endif
