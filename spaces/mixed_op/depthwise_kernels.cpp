#include <flowdarts/spaces/mixed_op/depthwise_kernels.hpp>

#include <hwy/aligned_allocator.h>

#include <algorithm>
#include <new>
#include <type_traits>
#include <utility>
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

// Calls f(image, begin, end) for the rows of each image, `band` of them at a time.
template <class F>
HWY_INLINE void for_bands(RowRange rows, std::int64_t height, std::int64_t band, const F& f) {
  while (rows.begin < rows.end) {
    const std::int64_t image = rows.begin / height, begin = rows.begin % height;
    const std::int64_t end = std::min({height, begin + band, begin + rows.end - rows.begin});
    f(image, begin, end);
    rows.begin += end - begin;
  }
}

// How many of `rows` to do at a time, each `step` rows of a plane apart, so that planes keep to kPlaneBytes.
std::int64_t band_rows(std::int64_t rows, std::int64_t row_bytes, std::int64_t reach, std::int64_t step) {
  const std::int64_t fit = (kPlaneBytes / row_bytes - reach) / step + 1;
  return std::max<std::int64_t>(1, std::min(rows, std::max<std::int64_t>(4, fit)));
}

// Taps of a row of the kernel that are taken together, and how far apart the kPixels output pixels are that are: as far
// as makes neighbours of both read pixels equally far apart, so that most pixels are loaded once for all those taps.
struct Tile {
  std::int64_t taps = 1;
  std::int64_t apart = 1;
};

Tile tile_of(std::int64_t kernel, std::int64_t dilation, std::int64_t stride, std::int64_t width) {
  if ((kernel != 3 && kernel != 5 && kernel != 7) || dilation % stride != 0) return {};
  const Tile tile{kernel, dilation / stride};
  const bool fits = 4 * round_up(width, kPixels * tile.apart) <= 5 * round_up(width, kPixels);
  return fits ? tile : Tile{};
}

// Calls f(tile.taps) with a constant.
template <class F>
HWY_INLINE void with_taps(const Tile& tile, const F& f) {
  switch (tile.taps) {
    case 3:
      return f(std::integral_constant<std::int64_t, 3>());
    case 5:
      return f(std::integral_constant<std::int64_t, 5>());
    case 7:
      return f(std::integral_constant<std::int64_t, 7>());
    default:
      return f(std::integral_constant<std::int64_t, 1>());
  }
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
  std::int64_t row, column, columns;
};

// Fills rows [from, to) of a plane. Filled shortly before they are read, rows are still in the first-level cache then.
template <class D, class T>
HWY_INLINE void fill_rows(D d, const Image<T>& image, const Window& window, std::int64_t from, std::int64_t to,
                          bool relu, hn::TFromD<D>* HWY_RESTRICT plane) {
  constexpr auto lanes = static_cast<std::int64_t>(hn::MaxLanes(D()));
  const auto zero = hn::Zero(d);
  const std::int64_t begin = std::clamp<std::int64_t>(-window.column, 0, window.columns);
  const std::int64_t end = std::clamp<std::int64_t>(image.width - window.column, begin, window.columns);
  for (std::int64_t r = from; r < to; ++r) {
    auto* HWY_RESTRICT row = plane + r * window.columns * lanes;
    const std::int64_t y = window.row + r;
    const bool inside = y >= 0 && y < image.height;
    const std::int64_t left = inside ? begin : window.columns;
    const std::int64_t right = inside ? end : window.columns;
    for (std::int64_t i = 0; i < left; ++i) hn::Store(zero, d, row + i * lanes);
    const std::int64_t first = y * image.width + window.column;
    for (std::int64_t i = left; i < right; ++i) {
      auto value = load_lanes(d, image.data + (first + i) * image.channels, image.lane_step);
      if (relu) value = hn::IfThenZeroElse(hn::Le(value, zero), value);  // lets NaN through
      hn::Store(value, d, row + i * lanes);
    }
    for (std::int64_t i = right; i < window.columns; ++i) hn::Store(zero, d, row + i * lanes);
  }
}

// Calls to(i, sum) for i in [0, count), where sum is that over the taps of weights[tap] times the plane's pixel
// i * stride + (the tap's offset). `offsets` are those of every kRowTaps-th tap; the others follow apart * stride from
// one another. Reads as if count were a multiple of kPixels * apart.
template <std::int64_t kRowTaps, class D, class F>
HWY_INLINE void correlate(D d, const hn::TFromD<D>* HWY_RESTRICT plane, const std::vector<std::int64_t>& offsets,
                          const hn::TFromD<D>* HWY_RESTRICT weights, std::int64_t stride, std::int64_t apart,
                          std::int64_t count, const F& to) {
  constexpr auto lanes = static_cast<std::int64_t>(hn::MaxLanes(D()));
  const std::int64_t step = stride * apart * lanes;
  const std::size_t rows = offsets.size();
  const std::int64_t* HWY_RESTRICT offset = offsets.data();
  for (std::int64_t block = 0; block < count; block += kPixels * apart) {
    for (std::int64_t first = block; first < std::min(block + apart, count); ++first) {
      auto s0 = hn::Zero(d), s1 = s0, s2 = s0, s3 = s0, s4 = s0, s5 = s0, s6 = s0, s7 = s0;
      const auto* HWY_RESTRICT weight = weights;
      for (std::size_t row = 0; row < rows; ++row, weight += kRowTaps * lanes) {
        const auto* HWY_RESTRICT from = plane + (first * stride + offset[row]) * lanes;
        const auto add_tap = [&](std::int64_t tap) HWY_ATTR __attribute__((always_inline)) {
          const auto w = hn::Load(d, weight + tap * lanes);
          s0 = hn::MulAdd(w, hn::Load(d, from + tap * step), s0);
          s1 = hn::MulAdd(w, hn::Load(d, from + (tap + 1) * step), s1);
          s2 = hn::MulAdd(w, hn::Load(d, from + (tap + 2) * step), s2);
          s3 = hn::MulAdd(w, hn::Load(d, from + (tap + 3) * step), s3);
          s4 = hn::MulAdd(w, hn::Load(d, from + (tap + 4) * step), s4);
          s5 = hn::MulAdd(w, hn::Load(d, from + (tap + 5) * step), s5);
          s6 = hn::MulAdd(w, hn::Load(d, from + (tap + 6) * step), s6);
          s7 = hn::MulAdd(w, hn::Load(d, from + (tap + 7) * step), s7);
        };
        add_tap(0);
        if constexpr (kRowTaps >= 3) {
          add_tap(1);
          add_tap(2);
        }
        if constexpr (kRowTaps >= 5) {
          add_tap(3);
          add_tap(4);
        }
        if constexpr (kRowTaps >= 7) {
          add_tap(5);
          add_tap(6);
        }
      }
      const auto finish = [&](std::int64_t pixel, auto sum) HWY_ATTR {
        if (first + pixel * apart < count) to(first + pixel * apart, sum);
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
}

template <class T>
void forward_of(const T* x, const Compute<T>* weight, const DepthwiseShape& shape, RowRange rows, T* out) {
  using A = Compute<T>;
  const std::int64_t out_width = shape.out_width(), out_channels = shape.out_channels();
  const Tile tile = tile_of(shape.kernel, shape.dilation, shape.stride, out_width);
  const std::int64_t columns = (round_up(out_width, kPixels * tile.apart) - 1) * shape.stride + shape.reach();
  const std::int64_t most_rows = std::min(rows.end - rows.begin, shape.out_height());
  const std::int64_t band = band_rows(most_rows, columns * HWY_MAX_BYTES, shape.reach(), shape.stride);
  const auto plane = allocate<A>(((band - 1) * shape.stride + shape.reach()) * columns * HWY_LANES(A));
  const auto weights = allocate<A>(shape.taps() * HWY_LANES(A));
  std::vector<std::int64_t> offsets;
  for (std::int64_t y = 0; y < shape.kernel; ++y) {
    for (std::int64_t k = 0; k < shape.kernel; k += tile.taps) offsets.push_back((y * columns + k) * shape.dilation);
  }
  const auto run_band = [&](std::int64_t number, std::int64_t begin, std::int64_t end) HWY_ATTR {
    const T* from = x + number * shape.in_image();
    T* to_image = out + number * shape.out_image();
    const Window window{begin * shape.stride - shape.padding, -shape.padding, columns};
    for_channel_blocks<A>(shape.channels, [&](auto d, std::int64_t c) HWY_ATTR {
      constexpr auto lanes = static_cast<std::int64_t>(hn::MaxLanes(decltype(d)()));
      const Image<T> image{from + c, shape.height, shape.width, shape.channels, 1};
      std::int64_t filled = 0;
      for (std::int64_t j = 0; j < shape.multiplier; ++j) {
        const std::int64_t channel = c * shape.multiplier + j;
        for (std::int64_t t = 0; t < shape.taps(); ++t) {
          hn::Store(load_lanes(d, weight + t * out_channels + channel, shape.multiplier), d, weights.get() + t * lanes);
        }
        with_taps(tile, [&](auto row_taps) HWY_ATTR {
          for (std::int64_t y = begin; y < end; ++y) {
            const std::int64_t first = (y - begin) * shape.stride;
            const std::int64_t needed = std::max(first + shape.reach(), filled);
            fill_rows(d, image, window, filled, needed, shape.relu_input, plane.get());
            filled = needed;
            T* HWY_RESTRICT to = to_image + y * out_width * out_channels + channel;
            correlate<row_taps>(d, plane.get() + first * columns * lanes, offsets, weights.get(), shape.stride,
                                tile.apart, out_width, [&](std::int64_t i, auto sum) HWY_ATTR {
                                  store_lanes(sum, d, to + i * out_channels, shape.multiplier);
                                });
          }
        });
      }
    });
  };
  for_bands(rows, shape.out_height(), band, run_band);
}

// The taps that reach the pixels of dx whose row and column leave the remainders `row` and `column` modulo the stride.
struct Phase {
  std::int64_t row, column;
  std::vector<std::int64_t> taps, offsets;
};

// `columns` of a plane of g begin at `first_column`; offsets are those from (pixel / stride) in it. With a multiplier
// every output channel of an input channel has a plane.
std::vector<Phase> phases_of(const DepthwiseShape& shape, const Tile& tile, std::int64_t first_column,
                             std::int64_t columns, std::int64_t plane_pixels) {
  std::vector<Phase> phases;
  for (std::int64_t row = 0; row < shape.stride; ++row) {
    for (std::int64_t column = 0; column < shape.stride; ++column) {
      Phase& phase = phases.emplace_back(Phase{row, column, {}, {}});
      for (std::int64_t j = 0; j < shape.multiplier; ++j) {
        for (std::int64_t t = shape.taps() - 1; t >= 0; --t) {
          const std::int64_t y = row + shape.padding - t / shape.kernel * shape.dilation;
          const std::int64_t x = column + shape.padding - t % shape.kernel * shape.dilation;
          if (y % shape.stride != 0 || x % shape.stride != 0) continue;
          phase.taps.push_back(j * shape.taps() + t);
          if ((shape.taps() - 1 - t) % tile.taps != 0) continue;
          phase.offsets.push_back(j * plane_pixels + y / shape.stride * columns + x / shape.stride - first_column);
        }
      }
    }
  }
  return phases;
}

template <class T>
void input_gradient_of(const T* g, const T* x, const Compute<T>* weight, const DepthwiseShape& shape, RowRange rows,
                       T* dx, bool add) {
  using A = Compute<T>;
  const std::int64_t stride = shape.stride, channels = shape.channels, out_channels = shape.out_channels();
  const std::int64_t taps = shape.taps() * shape.multiplier;
  const std::int64_t first_column = floor_divide(shape.padding + 1 - shape.reach(), stride);
  const Tile tile = stride == 1 ? tile_of(shape.kernel, shape.dilation, 1, shape.width) : Tile{};
  const std::int64_t columns = round_up((shape.width + stride - 1) / stride, kPixels * tile.apart) +
                               (stride - 1 + shape.padding) / stride - first_column;
  const std::int64_t reach = (shape.reach() + stride - 1) / stride + 1;
  const std::int64_t band = band_rows((std::min(rows.end - rows.begin, shape.height) + stride - 1) / stride,
                                      columns * shape.multiplier * HWY_MAX_BYTES, reach, 1) *
                            stride;
  const std::int64_t plane_pixels = (band / stride + 1 + reach) * columns;
  const auto planes = allocate<A>(shape.multiplier * plane_pixels * HWY_LANES(A));
  const auto weights = allocate<A>(taps * HWY_LANES(A));
  const std::vector<Phase> phases = phases_of(shape, tile, first_column, columns, plane_pixels);
  const auto run_band = [&](std::int64_t number, std::int64_t begin, std::int64_t end) HWY_ATTR {
    const T* g_image = g + number * shape.out_image();
    const T* x_image = shape.relu_input ? x + number * shape.in_image() : nullptr;
    T* dx_image = dx + number * shape.in_image();
    const std::int64_t first_row = floor_divide(begin + shape.padding + 1 - shape.reach(), stride);
    const Window window{first_row, first_column, columns};
    for_channel_blocks<A>(channels, [&](auto d, std::int64_t c) HWY_ATTR {
      constexpr auto lanes = static_cast<std::int64_t>(hn::MaxLanes(decltype(d)()));
      std::int64_t filled = 0;
      A* HWY_RESTRICT phase_weights = weights.get();
      for (const Phase& phase : phases) {
        for (std::size_t i = 0; i < phase.taps.size(); ++i) {
          const std::int64_t j = phase.taps[i] / shape.taps(), t = phase.taps[i] % shape.taps();
          hn::Store(load_lanes(d, weight + t * out_channels + c * shape.multiplier + j, shape.multiplier), d,
                    phase_weights + static_cast<std::int64_t>(i) * lanes);
        }
        const std::int64_t count = (shape.width - phase.column + stride - 1) / stride;
        with_taps(tile, [&](auto row_taps) HWY_ATTR {
          for (std::int64_t y = begin + (phase.row - begin % stride + stride) % stride; y < end; y += stride) {
            const std::int64_t needed = std::max((y + shape.padding) / stride - first_row + 1, filled);
            for (std::int64_t j = 0; j < shape.multiplier; ++j) {
              const Image<T> image{g_image + c * shape.multiplier + j, shape.out_height(), shape.out_width(),
                                   out_channels, shape.multiplier};
              fill_rows(d, image, window, filled, needed, false, planes.get() + j * plane_pixels * lanes);
            }
            filled = needed;
            const std::int64_t first = (y * shape.width + phase.column) * channels + c;
            correlate<row_taps>(d, planes.get() + (y / stride - first_row) * columns * lanes, phase.offsets,
                                phase_weights, 1, tile.apart, count, [&](std::int64_t i, auto sum) HWY_ATTR {
                                  const std::int64_t at = first + i * stride * channels;
                                  if (shape.relu_input)
                                    sum = hn::IfThenElseZero(hn::Gt(load(d, x_image + at), hn::Zero(d)), sum);
                                  if (add) sum = hn::Add(sum, load(d, dx_image + at));
                                  store(sum, d, dx_image + at);
                                });
          }
        });
        phase_weights += static_cast<std::int64_t>(phase.taps.size()) * lanes;
      }
    });
  };
  for_bands(rows, shape.height, band, run_band);
}

// Where a sum over pixels of one tap and one vector of channels goes.
struct WeightGradient {
  double* data;
  std::int64_t tap_step, lane_step;

  template <class D>
  HWY_INLINE void add(D d, std::int64_t tap, hn::Vec<D> sum) const {
    alignas(HWY_MAX_BYTES) hn::TFromD<D> lanes[hn::MaxLanes(d)];
    hn::Store(sum, d, lanes);
    double* to = data + tap * tap_step;
    for (std::size_t i = 0; i < hn::MaxLanes(d); ++i) to[static_cast<std::int64_t>(i) * lane_step] += lanes[i];
  }
};

// Rows of g and the columns of it that are summed over.
template <class T>
struct Span {
  const T* g;
  std::int64_t row_step, pixel_step, rows, left, right;
};

// Adds to dweight the sums over a span of g times the pixels of the plane that the taps pair them with: kTaps taps, at
// any offsets, at a time.
template <class D, class T>
HWY_INLINE void add_dots(D d, const hn::TFromD<D>* plane, const std::vector<std::int64_t>& offsets,
                         std::int64_t columns, std::int64_t stride, const Span<T>& span,
                         const WeightGradient& dweight) {
  constexpr auto lanes = static_cast<std::int64_t>(hn::MaxLanes(D()));
  const auto taps = static_cast<std::int64_t>(offsets.size());
  const std::int64_t step = stride * lanes;
  for (std::int64_t first = 0; first < taps; first += kTaps) {
    const auto offset = [&](std::int64_t i) {
      return offsets[static_cast<std::size_t>(std::min(first + i, taps - 1))] * lanes;
    };
    const std::int64_t o0 = offset(0), o1 = offset(1), o2 = offset(2), o3 = offset(3), o4 = offset(4), o5 = offset(5),
                       o6 = offset(6), o7 = offset(7), o8 = offset(8);
    auto s0 = hn::Zero(d), s1 = s0, s2 = s0, s3 = s0, s4 = s0, s5 = s0, s6 = s0, s7 = s0, s8 = s0;
    for (std::int64_t y = 0; y < span.rows; ++y) {
      const auto* HWY_RESTRICT from = plane + (y * columns + span.left) * step;
      const T* HWY_RESTRICT g = span.g + y * span.row_step + span.left * span.pixel_step;
      for (std::int64_t i = span.left; i < span.right; ++i, from += step, g += span.pixel_step) {
        const auto value = load(d, g);
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
    const auto finish = [&](std::int64_t i, auto sum) HWY_ATTR {
      if (first + i < taps) dweight.add(d, first + i, sum);  // beyond: repetitions of the last tap
    };
    finish(0, s0);
    finish(1, s1);
    finish(2, s2);
    finish(3, s3);
    finish(4, s4);
    finish(5, s5);
    finish(6, s6);
    finish(7, s7);
    finish(8, s8);
  }
}

// sums[k] += value times the pixel at from + k * step.
template <std::size_t... kTap, class D, std::size_t kCount>
HWY_INLINE void add_products(std::index_sequence<kTap...>, D d, hn::Vec<D> value,
                             const hn::TFromD<D>* HWY_RESTRICT from, std::int64_t step, hn::Vec<D> (&sums)[kCount]) {
  ((sums[kTap] = hn::MulAdd(value, hn::Load(d, from + static_cast<std::int64_t>(kTap) * step), sums[kTap])), ...);
}

// The same for a kernel whose rows are taken whole: neighbours among the pixels, `apart` from one another, read
// neighbours of what the taps read.
template <std::int64_t kRowTaps, class D, class T>
HWY_INLINE void add_row_dots(D d, const hn::TFromD<D>* plane, const std::vector<std::int64_t>& offsets,
                             std::int64_t columns, std::int64_t stride, std::int64_t apart, const Span<T>& span,
                             const WeightGradient& dweight) {
  constexpr auto lanes = static_cast<std::int64_t>(hn::MaxLanes(D()));
  constexpr std::make_index_sequence<kRowTaps> taps;
  const std::int64_t step = stride * apart * lanes, g_step = apart * span.pixel_step;
  for (std::size_t row = 0; row < offsets.size(); ++row) {
    hn::Vec<D> even[kRowTaps], odd[kRowTaps];  // two sums, to hide the latency of the additions
    for (std::int64_t t = 0; t < kRowTaps; ++t) even[t] = odd[t] = hn::Zero(d);
    for (std::int64_t y = 0; y < span.rows; ++y) {
      for (std::int64_t first = span.left; first < std::min(span.left + apart, span.right); ++first) {
        const auto* HWY_RESTRICT from = plane + ((y * columns + first) * stride + offsets[row]) * lanes;
        const T* HWY_RESTRICT g = span.g + y * span.row_step + first * span.pixel_step;
        std::int64_t i = first;
        for (; i + 3 * apart < span.right; i += 4 * apart, from += 4 * step, g += 4 * g_step) {
          add_products(taps, d, load(d, g), from, step, even);
          add_products(taps, d, load(d, g + g_step), from + step, step, odd);
          add_products(taps, d, load(d, g + 2 * g_step), from + 2 * step, step, even);
          add_products(taps, d, load(d, g + 3 * g_step), from + 3 * step, step, odd);
        }
        for (; i < span.right; i += apart, from += step, g += g_step) {
          add_products(taps, d, load(d, g), from, step, even);
        }
      }
    }
    for (std::int64_t t = 0; t < kRowTaps; ++t) {
      dweight.add(d, static_cast<std::int64_t>(row) * kRowTaps + t, hn::Add(even[t], odd[t]));
    }
  }
}

template <class T>
void weight_gradient_of(const T* g, const T* x, const DepthwiseShape& shape, RowRange rows, double* dweight) {
  using A = Compute<T>;
  const std::int64_t out_width = shape.out_width(), out_channels = shape.out_channels();
  const std::int64_t stride = shape.stride, multiplier = shape.multiplier;
  // A kernel of 3 has kTaps taps: all at once are faster than row by row.
  const Tile tile = shape.taps() <= kTaps ? Tile{} : tile_of(shape.kernel, shape.dilation, stride, out_width);
  const std::int64_t columns = (out_width - 1) * stride + shape.reach();
  const std::int64_t band =
      band_rows(std::min(rows.end - rows.begin, shape.out_height()), columns * HWY_MAX_BYTES, shape.reach(), stride);
  const std::int64_t span_rows = std::min(std::max<std::int64_t>(1, kSpan / out_width), band);
  const auto plane = allocate<A>(((band - 1) * stride + shape.reach()) * columns * HWY_LANES(A));
  const auto g_plane = allocate<A>(multiplier > 1 ? span_rows * out_width * HWY_LANES(A) : 1);
  std::vector<std::int64_t> offsets;
  for (std::int64_t y = 0; y < shape.kernel; ++y) {
    for (std::int64_t k = 0; k < shape.kernel; k += tile.taps) offsets.push_back((y * columns + k) * shape.dilation);
  }
  const auto run_band = [&](std::int64_t number, std::int64_t begin, std::int64_t end) HWY_ATTR {
    const T* x_image = x + number * shape.in_image();
    const T* g_image = g + number * shape.out_image();
    const Window window{begin * stride - shape.padding, -shape.padding, columns};
    for_channel_blocks<A>(shape.channels, [&](auto d, std::int64_t c) HWY_ATTR {
      constexpr auto lanes = static_cast<std::int64_t>(hn::MaxLanes(decltype(d)()));
      const Image<T> image{x_image + c, shape.height, shape.width, shape.channels, 1};
      std::int64_t filled = 0;
      for (std::int64_t top = begin; top < end; top += span_rows) {
        const std::int64_t bottom = std::min(top + span_rows, end);
        const std::int64_t needed = (bottom - begin - 1) * stride + shape.reach();
        fill_rows(d, image, window, std::min(filled, needed), needed, shape.relu_input, plane.get());
        filled = needed;
        const A* from = plane.get() + (top - begin) * stride * columns * lanes;
        const auto add = [&](auto span, std::int64_t channel) HWY_ATTR {
          const WeightGradient to{dweight + channel, out_channels, multiplier};
          for (span.left = 0; span.left < out_width; span.left += kSpan) {
            span.right = std::min(span.left + kSpan, out_width);
            with_taps(tile, [&](auto row_taps) HWY_ATTR {
              if constexpr (row_taps * row_taps <= kTaps) {
                add_dots(d, from, offsets, columns, stride, span, to);
              } else {
                add_row_dots<row_taps>(d, from, offsets, columns, stride, tile.apart, span, to);
              }
            });
          }
        };
        if (multiplier == 1) {
          add(Span<T>{g_image + top * out_width * out_channels + c, out_width * out_channels, out_channels,
                      bottom - top, 0, 0},
              c);
          continue;
        }
        for (std::int64_t channel = c * multiplier; channel < (c + 1) * multiplier; ++channel) {
          fill_rows(d, Image<T>{g_image + channel, shape.out_height(), out_width, out_channels, multiplier},
                    Window{top, 0, out_width}, 0, bottom - top, false, g_plane.get());
          add(Span<A>{g_plane.get(), out_width * lanes, lanes, bottom - top, 0, 0}, channel);
        }
      }
    });
  };
  for_bands(rows, shape.out_height(), band, run_band);
}

// HWY_EXPORT takes plain functions: one of each kind a type.
#define FLOWDARTS_KERNELS(T, NAME)                                                                                   \
  void forward_##NAME(const T* x, const Compute<T>* weight, const DepthwiseShape& shape, RowRange rows, T* out) {    \
    forward_of<T>(x, weight, shape, rows, out);                                                                      \
  }                                                                                                                  \
  void input_gradient_##NAME(const T* g, const T* x, const Compute<T>* weight, const DepthwiseShape& shape,          \
                             RowRange rows, T* dx, bool add) {                                                       \
    input_gradient_of<T>(g, x, weight, shape, rows, dx, add);                                                        \
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
                                   RowRange rows, T* dx, bool add) {                                              \
    HWY_DYNAMIC_DISPATCH(input_gradient_##NAME)(g, x, weight, shape, rows, dx, add);                              \
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
