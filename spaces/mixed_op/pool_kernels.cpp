#include <flowdarts/spaces/mixed_op/pool_kernels.hpp>

#include <algorithm>
#include <array>
#include <type_traits>
#include <vector>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "flowdarts/spaces/mixed_op/pool_kernels.cpp"
#include <hwy/foreach_target.h>  // compiles what follows once for each instruction set

#include <flowdarts/spaces/mixed_op/vector-inl.hpp>

// Every pool and its backward is a pass over rows followed by one over columns (or the other way round). With stride 1
// neighbouring pixels have the same neighbourhood, so a pass over columns takes a run of pixels as one long vector.

HWY_BEFORE_NAMESPACE();
namespace flowdarts::mixed_op::HWY_NAMESPACE {
namespace {

// What positions `to`, `to + 1`, ... `to + length - 1` of the destination read: the `count` positions of the source
// from `first`, `first + 1`, ...
template <class A>
struct Run {
  std::int64_t to, length, first, count;
  std::array<A, max_pool_kernel> scales;  // of the positions read
};

template <class A>
using Axis = std::vector<Run<A>>;

// Adds a run; where asked, as a part of the last one if it reads alike.
template <class A>
void append(Axis<A>& runs, const Run<A>& run, bool join) {
  if (join && !runs.empty()) {
    Run<A>& last = runs.back();
    if (run.first == last.first + last.length && run.count == last.count && run.scales == last.scales) {
      ++last.length;
      return;
    }
  }
  runs.push_back(run);
}

// The pixels of one axis that the windows of the output read, each with the scale 1 / count.
template <class A>
Axis<A> windows(const PoolGeometry& geometry, std::int64_t size, std::int64_t out_size, bool join) {
  Axis<A> runs;
  runs.reserve(static_cast<std::size_t>(out_size));
  for (std::int64_t to = 0; to < out_size; ++to) {
    const std::int64_t begin = to * geometry.stride - geometry.padding;
    const std::int64_t first = std::max<std::int64_t>(begin, 0);
    Run<A> run{to, 1, first, std::min(begin + geometry.kernel, size) - first, {}};
    std::fill_n(run.scales.begin(), run.count, A{1} / static_cast<A>(run.count));
    append(runs, run, join && geometry.stride == 1);
  }
  return runs;
}

// The windows of the output that read the pixels of one axis, each with the scale it reads them with.
template <class A>
Axis<A> readers(const PoolGeometry& geometry, std::int64_t size, std::int64_t out_size, bool join) {
  const Axis<A> reads = windows<A>(geometry, size, out_size, false);
  Axis<A> runs;
  runs.reserve(static_cast<std::size_t>(size));
  for (std::int64_t to = 0; to < size; ++to) {
    const std::int64_t before = to + geometry.padding - geometry.kernel;
    const std::int64_t begin = before < 0 ? 0 : before / geometry.stride + 1;
    const std::int64_t end = std::min((to + geometry.padding) / geometry.stride + 1, out_size);
    Run<A> run{to, 1, begin, std::max<std::int64_t>(end - begin, 0), {}};
    for (std::int64_t t = 0; t < run.count; ++t) {
      run.scales[static_cast<std::size_t>(t)] = reads[static_cast<std::size_t>(begin + t)].scales.front();
    }
    append(runs, run, join && geometry.stride == 1);
  }
  return runs;
}

// Calls f(count), with the common 3 as a constant, so that the loop over it is unrolled.
template <class F>
HWY_INLINE void with_count(std::int64_t count, const F& f) {
  count == 3 ? f(std::integral_constant<std::int64_t, 3>()) : f(count);
}

// to[i] = the sum over t of run.scales[t] from[(run.first + t) * step + i].
template <class A, class From, class To>
HWY_INLINE void weighted(const From* HWY_RESTRICT from, std::int64_t step, const Run<A>& run, std::int64_t length,
                         To* HWY_RESTRICT to) {
  from += run.first * step;
  const auto scales = run.scales;  // a copy, which `to` cannot overlap
  with_count(run.count, [&](auto count) HWY_ATTR {
    for_channel_blocks<A>(length, [&](auto d, std::int64_t i) HWY_ATTR {
      auto sum = hn::Zero(d);
      for (std::int64_t t = 0; t < count; ++t) {
        sum = hn::MulAdd(load(d, from + t * step + i), hn::Set(d, scales[static_cast<std::size_t>(t)]), sum);
      }
      store(sum, d, to + i);
    });
  });
}

// Both halves of an average pool: in [.., in_width, channels] to out [.., out_width, channels].
template <class T>
void separable(const T* in, std::int64_t in_width, const Axis<Compute<T>>& rows, const Axis<Compute<T>>& columns,
               std::int64_t out_width, std::int64_t channels, T* out) {
  using A = Compute<T>;
  std::vector<A> sums(static_cast<std::size_t>(in_width * channels));
  for (const Run<A>& row : rows) {
    const std::int64_t step = in_width * channels;
    weighted(in, step, row, step, sums.data());
    for (const Run<A>& column : columns) {
      weighted(static_cast<const A*>(sums.data()), channels, column, column.length * channels,
               out + (row.to * out_width + column.to) * channels);
    }
  }
}

template <class T>
void average_of(const T* x, const PoolGeometry& geometry, std::int64_t channels, T* out) {
  using A = Compute<T>;
  separable(x, geometry.width, windows<A>(geometry, geometry.height, geometry.out_height(), false),
            windows<A>(geometry, geometry.width, geometry.out_width(), true), geometry.out_width(), channels, out);
}

template <class T>
void average_backward_of(const T* g, const PoolGeometry& geometry, std::int64_t channels, T* dx) {
  using A = Compute<T>;
  separable(g, geometry.out_width(), readers<A>(geometry, geometry.height, geometry.out_height(), false),
            readers<A>(geometry, geometry.width, geometry.out_width(), true), geometry.width, channels, dx);
}

// Whether `value`, met after `best`, takes its place.
template <class V>
HWY_INLINE auto replaces(V value, V best) {
  return hn::Or(hn::Gt(value, best), hn::IsNaN(value));
}

// to[i] = the largest of from[(run.first + t) * step + i].
template <class A, class From, class To>
HWY_INLINE void largest(const From* HWY_RESTRICT from, std::int64_t step, const Run<A>& run, std::int64_t length,
                        To* HWY_RESTRICT to) {
  from += run.first * step;
  with_count(run.count, [&](auto count) HWY_ATTR {
    for_channel_blocks<A>(length, [&](auto d, std::int64_t i) HWY_ATTR {
      auto best = load(d, from + i);
      for (std::int64_t t = 1; t < count; ++t) {
        const auto value = load(d, from + t * step + i);
        best = hn::IfThenElse(replaces(value, best), value, best);
      }
      store(best, d, to + i);
    });
  });
}

template <class T>
void max_of(const T* x, const PoolGeometry& geometry, std::int64_t channels, T* out) {
  using A = Compute<T>;
  const std::int64_t step = geometry.width * channels;
  const Axis<A> columns = windows<A>(geometry, geometry.width, geometry.out_width(), true);
  std::vector<A> maxima(static_cast<std::size_t>(step));
  for (const Run<A>& row : windows<A>(geometry, geometry.height, geometry.out_height(), false)) {
    largest(x, step, row, step, maxima.data());
    for (const Run<A>& column : columns) {
      largest(static_cast<const A*>(maxima.data()), channels, column, column.length * channels,
              out + (row.to * geometry.out_width() + column.to) * channels);
    }
  }
}

// The last `kernel` of a sequence of rows.
template <class A>
class RecentRows {
 public:
  RecentRows(std::int64_t kernel, std::int64_t row_size)
      : kernel_(kernel), row_size_(row_size), data_(static_cast<std::size_t>(kernel * row_size)) {}

  A* operator[](std::int64_t row) { return data_.data() + row % kernel_ * row_size_; }

  // Where the rows [first, first + count) begin; valid until the next call.
  const A* const* pointers(std::int64_t first, std::int64_t count) {
    pointers_.clear();
    for (std::int64_t row = first; row < first + count; ++row) pointers_.push_back((*this)[row]);
    return pointers_.data();
  }

 private:
  std::int64_t kernel_, row_size_;
  std::vector<A> data_;
  std::vector<const A*> pointers_;
};

template <class T>
void max_backward_of(const T* g, const T* x, const PoolGeometry& geometry, std::int64_t channels, T* dx) {
  using A = Compute<T>;
  const std::int64_t out_row = geometry.out_width() * channels;
  const Axis<A> row_windows = windows<A>(geometry, geometry.height, geometry.out_height(), false);
  const Axis<A> column_windows = windows<A>(geometry, geometry.width, geometry.out_width(), true);
  const Axis<A> column_readers = readers<A>(geometry, geometry.width, geometry.out_width(), true);
  // Of every row of x: the largest in each window's part of it, and which column of the window that is.
  RecentRows<A> largest_values(geometry.kernel, out_row), largest_columns(geometry.kernel, out_row);
  // Of every row of windows: which pixel of the window is the largest, counted row by row.
  RecentRows<A> chosen(geometry.kernel, out_row);

  const auto scan = [&](std::int64_t y) HWY_ATTR {
    for (const Run<A>& run : column_windows) {
      const T* HWY_RESTRICT from = x + (y * geometry.width + run.first) * channels;
      A* HWY_RESTRICT values = largest_values[y] + run.to * channels;
      A* HWY_RESTRICT columns = largest_columns[y] + run.to * channels;
      const std::int64_t first = run.first - (run.to * geometry.stride - geometry.padding);
      with_count(run.count, [&](auto count) HWY_ATTR {
        for_channel_blocks<A>(run.length * channels, [&](auto d, std::int64_t i) HWY_ATTR {
          auto best = load(d, from + i);
          auto column = hn::Set(d, static_cast<A>(first));
          for (std::int64_t t = 1; t < count; ++t) {
            const auto value = load(d, from + t * channels + i);
            const auto better = replaces(value, best);
            best = hn::IfThenElse(better, value, best);
            column = hn::IfThenElse(better, hn::Set(d, static_cast<A>(first + t)), column);
          }
          store(best, d, values + i);
          store(column, d, columns + i);
        });
      });
    }
  };
  const auto choose = [&](const Run<A>& window) HWY_ATTR {
    const std::int64_t first = window.first - (window.to * geometry.stride - geometry.padding);
    const A* const* values = largest_values.pointers(window.first, window.count);
    const A* const* columns = largest_columns.pointers(window.first, window.count);
    A* HWY_RESTRICT to = chosen[window.to];
    std::array<A, max_pool_kernel> row_taps{};  // of the first pixel of each row of the window
    for (std::int64_t t = 0; t < window.count; ++t) {
      row_taps[static_cast<std::size_t>(t)] = static_cast<A>((first + t) * geometry.kernel);
    }
    with_count(window.count, [&](auto count) HWY_ATTR {
      for_channel_blocks<A>(out_row, [&](auto d, std::int64_t i) HWY_ATTR {
        auto best = load(d, values[0] + i);
        auto tap = hn::Add(load(d, columns[0] + i), hn::Set(d, row_taps[0]));
        for (std::int64_t t = 1; t < count; ++t) {
          const auto value = load(d, values[t] + i);
          const auto better = replaces(value, best);
          const auto row = hn::Set(d, row_taps[static_cast<std::size_t>(t)]);
          best = hn::IfThenElse(better, value, best);
          tap = hn::IfThenElse(better, hn::Add(load(d, columns[t] + i), row), tap);
        }
        store(tap, d, to + i);
      });
    });
  };
  // The gradient of a row of x: of every window that reads it, what chose it.
  const auto gather = [&](const Run<A>& row) HWY_ATTR {
    const A* const* taps = chosen.pointers(row.first, row.count);
    const T* HWY_RESTRICT gradients = g + row.first * out_row;
    const std::int64_t kernel_row = row.to - (row.first * geometry.stride - geometry.padding);
    for (const Run<A>& run : column_readers) {
      const std::int64_t kernel_column = run.to - (run.first * geometry.stride - geometry.padding);
      const std::int64_t first = run.first * channels;
      T* HWY_RESTRICT to = dx + (row.to * geometry.width + run.to) * channels;
      std::array<A, max_pool_kernel * max_pool_kernel> expected{};  // the tap with which each window reads this pixel
      for (std::int64_t r = 0; r < row.count; ++r) {
        for (std::int64_t t = 0; t < run.count; ++t) {
          expected[static_cast<std::size_t>(r * max_pool_kernel + t)] = static_cast<A>(
              (kernel_row - r * geometry.stride) * geometry.kernel + kernel_column - t * geometry.stride);
        }
      }
      with_count(row.count, [&](auto row_count) HWY_ATTR {
        with_count(run.count, [&](auto count) HWY_ATTR {
          for_channel_blocks<A>(run.length * channels, [&](auto d, std::int64_t i) HWY_ATTR {
            auto sum = hn::Zero(d);
            for (std::int64_t r = 0; r < row_count; ++r) {
              for (std::int64_t t = 0; t < count; ++t) {
                const std::int64_t at = first + t * channels + i;
                const auto tap = hn::Set(d, expected[static_cast<std::size_t>(r * max_pool_kernel + t)]);
                const auto gradient = load(d, gradients + r * out_row + at);
                sum = hn::Add(sum, hn::IfThenElseZero(hn::Eq(load(d, taps[r] + at), tap), gradient));
              }
            }
            store(sum, d, to + i);
          });
        });
      });
    }
  };

  std::int64_t scanned = 0, windows_chosen = 0;
  for (const Run<A>& row : readers<A>(geometry, geometry.height, geometry.out_height(), false)) {
    for (; windows_chosen < row.first + row.count; ++windows_chosen) {
      const Run<A>& window = row_windows[static_cast<std::size_t>(windows_chosen)];
      for (scanned = std::max(scanned, window.first); scanned < window.first + window.count; ++scanned) scan(scanned);
      choose(window);
    }
    gather(row);
  }
}

// HWY_EXPORT takes plain functions: one of each kind a type.
#define FLOWDARTS_KERNELS(T, NAME)                                                                               \
  void average_##NAME(const T* x, const PoolGeometry& geometry, std::int64_t channels, T* out) {                 \
    average_of<T>(x, geometry, channels, out);                                                                   \
  }                                                                                                              \
  void average_backward_##NAME(const T* g, const PoolGeometry& geometry, std::int64_t channels, T* dx) {         \
    average_backward_of<T>(g, geometry, channels, dx);                                                           \
  }                                                                                                              \
  void max_##NAME(const T* x, const PoolGeometry& geometry, std::int64_t channels, T* out) {                     \
    max_of<T>(x, geometry, channels, out);                                                                       \
  }                                                                                                              \
  void max_backward_##NAME(const T* g, const T* x, const PoolGeometry& geometry, std::int64_t channels, T* dx) { \
    max_backward_of<T>(g, x, geometry, channels, dx);                                                            \
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
  HWY_EXPORT(average_##NAME);                                                                                     \
  HWY_EXPORT(average_backward_##NAME);                                                                            \
  HWY_EXPORT(max_##NAME);                                                                                         \
  HWY_EXPORT(max_backward_##NAME);                                                                                \
  template <>                                                                                                     \
  void average_pool<T>(const T* x, const PoolGeometry& geometry, std::int64_t channels, T* out) {                 \
    HWY_DYNAMIC_DISPATCH(average_##NAME)(x, geometry, channels, out);                                             \
  }                                                                                                               \
  template <>                                                                                                     \
  void average_pool_backward<T>(const T* g, const PoolGeometry& geometry, std::int64_t channels, T* dx) {         \
    HWY_DYNAMIC_DISPATCH(average_backward_##NAME)(g, geometry, channels, dx);                                     \
  }                                                                                                               \
  template <>                                                                                                     \
  void max_pool<T>(const T* x, const PoolGeometry& geometry, std::int64_t channels, T* out) {                     \
    HWY_DYNAMIC_DISPATCH(max_##NAME)(x, geometry, channels, out);                                                 \
  }                                                                                                               \
  template <>                                                                                                     \
  void max_pool_backward<T>(const T* g, const T* x, const PoolGeometry& geometry, std::int64_t channels, T* dx) { \
    HWY_DYNAMIC_DISPATCH(max_backward_##NAME)(g, x, geometry, channels, dx);                                      \
  }
FLOWDARTS_KERNELS(float, float)
FLOWDARTS_KERNELS(double, double)
FLOWDARTS_KERNELS(Bf16, bf16)
#undef FLOWDARTS_KERNELS

}  // namespace flowdarts::mixed_op
#endif
