#include <flowdarts/spaces/mixed_op/depthwise_kernels.hpp>

#include <hwy/aligned_allocator.h>

#include <algorithm>
#include <new>
#include <vector>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "flowdarts/spaces/mixed_op/depthwise_kernels.cpp"
#include <hwy/foreach_target.h>  // compiles what follows once for each instruction set

#include <flowdarts/spaces/mixed_op/vector-inl.hpp>

// Each kernel first copies one vector of channels of a band of rows into a plane: converted, rectified, and with zeros
// around it. The loops over taps then know no borders, no types and no strides between channels, and a band stays in
// the second-level cache.

HWY_BEFORE_NAMESPACE();
namespace flowdarts::mixed_op::HWY_NAMESPACE {
namespace {

// Output pixels computed together: independent sums that hide the latency of a fused multiply-add.
constexpr std::int64_t kPixels = 8;
// Taps whose weight gradients are summed together, for the same reason.
constexpr std::int64_t kTaps = 9;
// Pixels a weight gradient is summed over in float.
constexpr std::int64_t kSpan = 256;
// What the planes of a band may take.
constexpr std::int64_t kPlaneBytes = 256 * 1024;

std::int64_t round_up(std::int64_t value, std::int64_t to) {
  return (value + to - 1) / to * to;
}

std::int64_t floor_divide(std::int64_t a, std::int64_t b) {
  return a >= 0 ? a / b : -((-a + b - 1) / b);
}

// How many of `rows` to do at a time, each `step` rows of a plane apart, so that planes keep to kPlaneBytes.
std::int64_t band_rows(std::int64_t rows, std::int64_t row_bytes, std::int64_t reach, std::int64_t step) {
  const std::int64_t fit = (kPlaneBytes / row_bytes - reach) / step + 1;
  return std::max<std::int64_t>(1, std::min(rows, std::max<std::int64_t>(4, fit)));
}

template <class A>
hwy::AlignedFreeUniquePtr<A[]> allocate(std::int64_t size) {
  auto memory = hwy::AllocateAligned<A>(static_cast<std::size_t>(size));
  if (!memory) throw std::bad_alloc();
  return memory;
}

// Lanes that lie `step` apart.
template <class D, class T>
HWY_INLINE hn::Vec<D> load_lanes(D d, const T* from, std::int64_t step) {
  if (step == 1) return load(d, from);
  alignas(HWY_MAX_BYTES) T lanes[hn::MaxLanes(d)];
  for (std::size_t i = 0; i < hn::MaxLanes(d); ++i) lanes[i] = from[static_cast<std::int64_t>(i) * step];
  return load(d, lanes);
}

template <class D, class T>
HWY_INLINE void store_lanes(hn::Vec<D> value, D d, T* to, std::int64_t step) {
  if (step == 1) {
    store(value, d, to);
    return;
  }
  alignas(HWY_MAX_BYTES) T lanes[hn::MaxLanes(d)];
  store(value, d, lanes);
  for (std::size_t i = 0; i < hn::MaxLanes(d); ++i) to[static_cast<std::int64_t>(i) * step] = lanes[i];
}

// An image [height, width, channels] or the channels of it that lie `lane_step` apart.
template <class T>
struct Image {
  const T* data;
  std::int64_t height, width, channels, lane_step;
};

// The part of an image that a plane holds; what lies outside the image is 0.
struct Window {
  std::int64_t row, column, rows, columns;
};

template <class D, class T>
HWY_INLINE void fill_plane(D d, const Image<T>& image, const Window& window, bool relu,
                           hn::TFromD<D>* HWY_RESTRICT plane) {
  constexpr auto lanes = static_cast<std::int64_t>(hn::MaxLanes(D()));
  const auto zero = hn::Zero(d);
  const std::int64_t begin = std::clamp<std::int64_t>(-window.column, 0, window.columns);
  const std::int64_t end = std::clamp<std::int64_t>(image.width - window.column, begin, window.columns);
  for (std::int64_t r = 0; r < window.rows; ++r, plane += window.columns * lanes) {
    const std::int64_t y = window.row + r;
    const bool inside = y >= 0 && y < image.height;
    const std::int64_t left = inside ? begin : window.columns;
    const std::int64_t right = inside ? end : window.columns;
    for (std::int64_t i = 0; i < left; ++i) hn::Store(zero, d, plane + i * lanes);
    const std::int64_t first = y * image.width + window.column;
    for (std::int64_t i = left; i < right; ++i) {
      auto value = load_lanes(d, image.data + (first + i) * image.channels, image.lane_step);
      if (relu) value = hn::IfThenZeroElse(hn::Le(value, zero), value);  // lets NaN through
      hn::Store(value, d, plane + i * lanes);
    }
    for (std::int64_t i = right; i < window.columns; ++i) hn::Store(zero, d, plane + i * lanes);
  }
}

// Calls to(i, sum) for i in [0, count), where sum is that over the taps of weights[tap] times the plane's pixel
// i * step + offsets[tap]. Reads as if count were a multiple of kPixels.
template <class D, class F>
HWY_INLINE void correlate(D d, const hn::TFromD<D>* HWY_RESTRICT plane, const std::vector<std::int64_t>& offsets,
                          const hn::TFromD<D>* HWY_RESTRICT weights, std::int64_t step, std::int64_t count,
                          const F& to) {
  constexpr auto lanes = static_cast<std::int64_t>(hn::MaxLanes(D()));
  const std::int64_t stride = step * lanes;
  const std::size_t taps = offsets.size();
  const std::int64_t* HWY_RESTRICT offset = offsets.data();
  for (std::int64_t i = 0; i < count; i += kPixels, plane += kPixels * stride) {
    auto s0 = hn::Zero(d), s1 = s0, s2 = s0, s3 = s0, s4 = s0, s5 = s0, s6 = s0, s7 = s0;
    for (std::size_t t = 0; t < taps; ++t) {
      const auto weight = hn::Load(d, weights + t * lanes);
      const auto* HWY_RESTRICT from = plane + offset[t] * lanes;
      s0 = hn::MulAdd(weight, hn::Load(d, from), s0);
      s1 = hn::MulAdd(weight, hn::Load(d, from + stride), s1);
      s2 = hn::MulAdd(weight, hn::Load(d, from + 2 * stride), s2);
      s3 = hn::MulAdd(weight, hn::Load(d, from + 3 * stride), s3);
      s4 = hn::MulAdd(weight, hn::Load(d, from + 4 * stride), s4);
      s5 = hn::MulAdd(weight, hn::Load(d, from + 5 * stride), s5);
      s6 = hn::MulAdd(weight, hn::Load(d, from + 6 * stride), s6);
      s7 = hn::MulAdd(weight, hn::Load(d, from + 7 * stride), s7);
    }
    const auto finish = [&](std::int64_t pixel, auto sum) HWY_ATTR {
      if (i + pixel < count) to(i + pixel, sum);
    };
    finish(0, s0);
    finish(1, s1);
    finish(2, s2);
    finish(3, s3);
    finish(4, s4);
    finish(5, s5);
    finish(6, s6);
    finish(7, s7);
  }
}

template <class T>
void forward_of(const T* x, const Compute<T>* weight, const DepthwiseShape& shape, RowRange rows, T* out) {
  using A = Compute<T>;
  const std::int64_t out_width = shape.out_width(), out_channels = shape.out_channels();
  const std::int64_t columns = (round_up(out_width, kPixels) - 1) * shape.stride + shape.reach();
  const std::int64_t band = band_rows(rows.end - rows.begin, columns * HWY_MAX_BYTES, shape.reach(), shape.stride);
  const auto plane = allocate<A>(((band - 1) * shape.stride + shape.reach()) * columns * HWY_LANES(A));
  const auto weights = allocate<A>(shape.taps() * HWY_LANES(A));
  std::vector<std::int64_t> offsets;
  for (std::int64_t y = 0; y < shape.kernel; ++y) {
    for (std::int64_t k = 0; k < shape.kernel; ++k) offsets.push_back((y * columns + k) * shape.dilation);
  }
  for (std::int64_t begin = rows.begin; begin < rows.end; begin += band) {
    const std::int64_t end = std::min(begin + band, rows.end);
    const Window window{begin * shape.stride - shape.padding, -shape.padding,
                        (end - begin - 1) * shape.stride + shape.reach(), columns};
    for_channel_blocks<A>(shape.channels, [&](auto d, std::int64_t c) HWY_ATTR {
      constexpr auto lanes = static_cast<std::int64_t>(hn::MaxLanes(decltype(d)()));
      fill_plane(d, Image<T>{x + c, shape.height, shape.width, shape.channels, 1}, window, shape.relu_input,
                 plane.get());
      for (std::int64_t j = 0; j < shape.multiplier; ++j) {
        const std::int64_t channel = c * shape.multiplier + j;
        for (std::int64_t t = 0; t < shape.taps(); ++t) {
          hn::Store(load_lanes(d, weight + t * out_channels + channel, shape.multiplier), d, weights.get() + t * lanes);
        }
        for (std::int64_t y = begin; y < end; ++y) {
          T* HWY_RESTRICT to = out + y * out_width * out_channels + channel;
          correlate(d, plane.get() + (y - begin) * shape.stride * columns * lanes, offsets, weights.get(), shape.stride,
                    out_width, [&](std::int64_t i, auto sum) HWY_ATTR {
                      store_lanes(sum, d, to + i * out_channels, shape.multiplier);
                    });
        }
      }
    });
  }
}

// The taps that reach the pixels of dx whose row and column leave the remainders `row` and `column` modulo the stride.
struct Phase {
  std::int64_t row, column;
  std::vector<std::int64_t> taps, offsets;
};

// `columns` of a plane of g begin at `first_column`; offsets are those from (pixel / stride) in it. With a multiplier
// every output channel of an input channel has a plane.
std::vector<Phase> phases_of(const DepthwiseShape& shape, std::int64_t first_column, std::int64_t columns,
                             std::int64_t plane_pixels) {
  std::vector<Phase> phases;
  for (std::int64_t row = 0; row < shape.stride; ++row) {
    for (std::int64_t column = 0; column < shape.stride; ++column) {
      Phase& phase = phases.emplace_back(Phase{row, column, {}, {}});
      for (std::int64_t j = 0; j < shape.multiplier; ++j) {
        for (std::int64_t t = 0; t < shape.taps(); ++t) {
          const std::int64_t y = row + shape.padding - t / shape.kernel * shape.dilation;
          const std::int64_t x = column + shape.padding - t % shape.kernel * shape.dilation;
          if (y % shape.stride != 0 || x % shape.stride != 0) continue;
          phase.taps.push_back(j * shape.taps() + t);
          phase.offsets.push_back(j * plane_pixels + y / shape.stride * columns + x / shape.stride - first_column);
        }
      }
    }
  }
  return phases;
}

template <class T>
void input_gradient_of(const T* g, const T* x, const Compute<T>* weight, const DepthwiseShape& shape, RowRange rows,
                       T* dx) {
  using A = Compute<T>;
  const std::int64_t stride = shape.stride, channels = shape.channels, out_channels = shape.out_channels();
  const std::int64_t taps = shape.taps() * shape.multiplier;
  const std::int64_t first_column = floor_divide(shape.padding + 1 - shape.reach(), stride);
  const std::int64_t columns =
      round_up((shape.width + stride - 1) / stride, kPixels) + (stride - 1 + shape.padding) / stride - first_column;
  const std::int64_t reach = (shape.reach() + stride - 1) / stride + 1;
  const std::int64_t band =
      band_rows((rows.end - rows.begin + stride - 1) / stride, columns * shape.multiplier * HWY_MAX_BYTES, reach, 1) *
      stride;
  const std::int64_t plane_pixels = (band / stride + 1 + reach) * columns;
  const auto planes = allocate<A>(shape.multiplier * plane_pixels * HWY_LANES(A));
  const auto weights = allocate<A>(taps * HWY_LANES(A));
  const std::vector<Phase> phases = phases_of(shape, first_column, columns, plane_pixels);
  for (std::int64_t begin = rows.begin; begin < rows.end; begin += band) {
    const std::int64_t end = std::min(begin + band, rows.end);
    const std::int64_t first_row = floor_divide(begin + shape.padding + 1 - shape.reach(), stride);
    const Window window{first_row, first_column, (end - 1 + shape.padding) / stride - first_row + 1, columns};
    for_channel_blocks<A>(channels, [&](auto d, std::int64_t c) HWY_ATTR {
      constexpr auto lanes = static_cast<std::int64_t>(hn::MaxLanes(decltype(d)()));
      for (std::int64_t j = 0; j < shape.multiplier; ++j) {
        fill_plane(d,
                   Image<T>{g + c * shape.multiplier + j, shape.out_height(), shape.out_width(), out_channels,
                            shape.multiplier},
                   window, false, planes.get() + j * plane_pixels * lanes);
      }
      A* HWY_RESTRICT phase_weights = weights.get();
      for (const Phase& phase : phases) {
        for (std::size_t i = 0; i < phase.taps.size(); ++i) {
          const std::int64_t j = phase.taps[i] / shape.taps(), t = phase.taps[i] % shape.taps();
          hn::Store(load_lanes(d, weight + t * out_channels + c * shape.multiplier + j, shape.multiplier), d,
                    phase_weights + static_cast<std::int64_t>(i) * lanes);
        }
        const std::int64_t count = (shape.width - phase.column + stride - 1) / stride;
        for (std::int64_t y = begin + (phase.row - begin % stride + stride) % stride; y < end; y += stride) {
          const std::int64_t first = (y * shape.width + phase.column) * channels + c;
          correlate(d, planes.get() + (y / stride - first_row) * columns * lanes, phase.offsets, phase_weights, 1,
                    count, [&](std::int64_t i, auto sum) HWY_ATTR {
                      const std::int64_t at = first + i * stride * channels;
                      if (shape.relu_input) sum = hn::IfThenElseZero(hn::Gt(load(d, x + at), hn::Zero(d)), sum);
                      store(sum, d, dx + at);
                    });
        }
        phase_weights += static_cast<std::int64_t>(phase.taps.size()) * lanes;
      }
    });
  }
}

// Adds to dweight [taps.., step `tap_step`], lanes `lane_step` apart, the sums over the pixels of g [rows, width] times
// the plane's pixels that the taps pair them with.
template <class D, class T>
HWY_INLINE void add_dots(D d, const hn::TFromD<D>* plane, const std::vector<std::int64_t>& offsets,
                         std::int64_t columns, std::int64_t stride, const T* g, std::int64_t g_step, std::int64_t rows,
                         std::int64_t width, double* dweight, std::int64_t tap_step, std::int64_t lane_step) {
  using A = hn::TFromD<D>;
  constexpr auto lanes = static_cast<std::int64_t>(hn::MaxLanes(D()));
  const auto taps = static_cast<std::int64_t>(offsets.size());
  const std::int64_t step = stride * lanes;
  const std::int64_t span_rows = std::max<std::int64_t>(1, kSpan / width);
  for (std::int64_t top = 0; top < rows; top += span_rows) {
    const std::int64_t bottom = std::min(top + span_rows, rows);
    for (std::int64_t left = 0; left < width; left += kSpan) {
      const std::int64_t right = std::min(left + kSpan, width);
      for (std::int64_t first = 0; first < taps; first += kTaps) {
        const auto offset = [&](std::int64_t i) {
          return offsets[static_cast<std::size_t>(std::min(first + i, taps - 1))] * lanes;
        };
        const std::int64_t o0 = offset(0), o1 = offset(1), o2 = offset(2), o3 = offset(3), o4 = offset(4),
                           o5 = offset(5), o6 = offset(6), o7 = offset(7), o8 = offset(8);
        auto s0 = hn::Zero(d), s1 = s0, s2 = s0, s3 = s0, s4 = s0, s5 = s0, s6 = s0, s7 = s0, s8 = s0;
        for (std::int64_t y = top; y < bottom; ++y) {
          const A* HWY_RESTRICT from = plane + y * columns * step + left * step;
          const T* HWY_RESTRICT with = g + (y * width + left) * g_step;
          for (std::int64_t i = left; i < right; ++i, from += step, with += g_step) {
            const auto value = load(d, with);
            s0 = hn::MulAdd(value, hn::Load(d, from + o0), s0);
            s1 = hn::MulAdd(value, hn::Load(d, from + o1), s1);
            s2 = hn::MulAdd(value, hn::Load(d, from + o2), s2);
            s3 = hn::MulAdd(value, hn::Load(d, from + o3), s3);
            s4 = hn::MulAdd(value, hn::Load(d, from + o4), s4);
            s5 = hn::MulAdd(value, hn::Load(d, from + o5), s5);
            s6 = hn::MulAdd(value, hn::Load(d, from + o6), s6);
            s7 = hn::MulAdd(value, hn::Load(d, from + o7), s7);
            s8 = hn::MulAdd(value, hn::Load(d, from + o8), s8);
          }
        }
        const auto add = [&](std::int64_t i, auto sum) HWY_ATTR {
          if (first + i >= taps) return;  // a repetition of the last tap
          alignas(HWY_MAX_BYTES) A sums[lanes];
          hn::Store(sum, d, sums);
          double* to = dweight + (first + i) * tap_step;
          for (std::int64_t l = 0; l < lanes; ++l) to[l * lane_step] += sums[l];
        };
        add(0, s0);
        add(1, s1);
        add(2, s2);
        add(3, s3);
        add(4, s4);
        add(5, s5);
        add(6, s6);
        add(7, s7);
        add(8, s8);
      }
    }
  }
}

template <class T>
void weight_gradient_of(const T* g, const T* x, const DepthwiseShape& shape, RowRange rows, double* dweight) {
  using A = Compute<T>;
  const std::int64_t out_width = shape.out_width(), out_channels = shape.out_channels(), multiplier = shape.multiplier;
  const std::int64_t columns = (out_width - 1) * shape.stride + shape.reach();
  const std::int64_t band = band_rows(rows.end - rows.begin, columns * HWY_MAX_BYTES, shape.reach(), shape.stride);
  const auto plane = allocate<A>(((band - 1) * shape.stride + shape.reach()) * columns * HWY_LANES(A));
  const auto g_plane = allocate<A>(multiplier > 1 ? band * out_width * HWY_LANES(A) : 1);
  std::vector<std::int64_t> offsets;
  for (std::int64_t y = 0; y < shape.kernel; ++y) {
    for (std::int64_t k = 0; k < shape.kernel; ++k) offsets.push_back((y * columns + k) * shape.dilation);
  }
  for (std::int64_t begin = rows.begin; begin < rows.end; begin += band) {
    const std::int64_t count = std::min(band, rows.end - begin);
    const Window window{begin * shape.stride - shape.padding, -shape.padding,
                        (count - 1) * shape.stride + shape.reach(), columns};
    for_channel_blocks<A>(shape.channels, [&](auto d, std::int64_t c) HWY_ATTR {
      constexpr auto lanes = static_cast<std::int64_t>(hn::MaxLanes(decltype(d)()));
      fill_plane(d, Image<T>{x + c, shape.height, shape.width, shape.channels, 1}, window, shape.relu_input,
                 plane.get());
      if (multiplier == 1) {
        add_dots(d, plane.get(), offsets, columns, shape.stride, g + begin * out_width * out_channels + c, out_channels,
                 count, out_width, dweight + c, out_channels, 1);
        return;
      }
      for (std::int64_t j = 0; j < multiplier; ++j) {
        const std::int64_t channel = c * multiplier + j;
        fill_plane(d, Image<T>{g + channel, shape.out_height(), out_width, out_channels, multiplier},
                   Window{begin, 0, count, out_width}, false, g_plane.get());
        add_dots(d, plane.get(), offsets, columns, shape.stride, static_cast<const A*>(g_plane.get()), lanes, count,
                 out_width, dweight + channel, out_channels, multiplier);
      }
    });
  }
}

// HWY_EXPORT takes plain functions: one of each kind a type.
#define FLOWDARTS_KERNELS(T, NAME)                                                                                   \
  void forward_##NAME(const T* x, const Compute<T>* weight, const DepthwiseShape& shape, RowRange rows, T* out) {    \
    forward_of<T>(x, weight, shape, rows, out);                                                                      \
  }                                                                                                                  \
  void input_gradient_##NAME(const T* g, const T* x, const Compute<T>* weight, const DepthwiseShape& shape,          \
                             RowRange rows, T* dx) {                                                                 \
    input_gradient_of<T>(g, x, weight, shape, rows, dx);                                                             \
  }                                                                                                                  \
  void weight_gradient_##NAME(const T* g, const T* x, const DepthwiseShape& shape, RowRange rows, double* dweight) { \
    weight_gradient_of<T>(g, x, shape, rows, dweight);                                                               \
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

#define FLOWDARTS_KERNELS(T, NAME)                                                                                \
  HWY_EXPORT(forward_##NAME);                                                                                     \
  HWY_EXPORT(input_gradient_##NAME);                                                                              \
  HWY_EXPORT(weight_gradient_##NAME);                                                                             \
  template <>                                                                                                     \
  void depthwise<T>(const T* x, const Compute<T>* weight, const DepthwiseShape& shape, RowRange rows, T* out) {   \
    HWY_DYNAMIC_DISPATCH(forward_##NAME)(x, weight, shape, rows, out);                                            \
  }                                                                                                               \
  template <>                                                                                                     \
  void depthwise_input_gradient<T>(const T* g, const T* x, const Compute<T>* weight, const DepthwiseShape& shape, \
                                   RowRange rows, T* dx) {                                                        \
    HWY_DYNAMIC_DISPATCH(input_gradient_##NAME)(g, x, weight, shape, rows, dx);                                   \
  }                                                                                                               \
  template <>                                                                                                     \
  void depthwise_weight_gradient<T>(const T* g, const T* x, const DepthwiseShape& shape, RowRange rows,           \
                                    double* dweight) {                                                            \
    HWY_DYNAMIC_DISPATCH(weight_gradient_##NAME)(g, x, shape, rows, dweight);                                     \
  }
FLOWDARTS_KERNELS(float, float)
FLOWDARTS_KERNELS(double, double)
FLOWDARTS_KERNELS(Bf16, bf16)
#undef FLOWDARTS_KERNELS

}  // namespace flowdarts::mixed_op
#endif
