#include <flowdarts/spaces/mixed_op/mix_kernels.hpp>

#include <algorithm>
#include <array>
#include <vector>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "flowdarts/spaces/mixed_op/mix_kernels.cpp"
#include <hwy/foreach_target.h>  // compiles what follows once for each instruction set

#include <flowdarts/spaces/mixed_op/vector-inl.hpp>

HWY_BEFORE_NAMESPACE();
namespace flowdarts::mixed_op::HWY_NAMESPACE {
namespace {

// Pixels whose values of one matrix stay in the first-level cache.
std::int64_t block_pixels(std::int64_t channels) {
  return std::clamp<std::int64_t>(4096 / channels, 8, 256);
}

template <class F>
HWY_INLINE void for_blocks(PixelRange pixels, std::int64_t channels, const F& f) {
  const std::int64_t step = block_pixels(channels);
  for (std::int64_t p = pixels.begin; p < pixels.end; p += step) f(p, std::min(p + step, pixels.end));
}

// The sum of value(p) over the pixels [begin, end), in four partial sums.
template <class D, class F>
HWY_INLINE hn::Vec<D> sum_over(D d, std::int64_t begin, std::int64_t end, const F& value) {
  auto s0 = hn::Zero(d), s1 = s0, s2 = s0, s3 = s0;
  std::int64_t p = begin;
  for (; p + 4 <= end; p += 4) {
    s0 = value(p, s0);
    s1 = value(p + 1, s1);
    s2 = value(p + 2, s2);
    s3 = value(p + 3, s3);
  }
  for (; p < end; ++p) s0 = value(p, s0);
  return hn::Add(hn::Add(s0, s1), hn::Add(s2, s3));
}

template <class D>
using Lanes = std::array<hn::TFromD<D>, HWY_MAX_BYTES / sizeof(hn::TFromD<D>)>;

template <class T>
void moments_of(Rows<const T> x, PixelRange pixels, std::int64_t channels, double* HWY_RESTRICT mean,
                double* HWY_RESTRICT squares, Rows<T> copy) {
  using A = Compute<T>;
  std::fill_n(mean, channels, 0.0);
  std::fill_n(squares, channels, 0.0);
  for_blocks(pixels, channels, [&](std::int64_t begin, std::int64_t end) HWY_ATTR {
    const auto before = static_cast<double>(begin - pixels.begin);
    const auto count = static_cast<double>(end - begin);
    for_channel_blocks<A>(channels, [&](auto d, std::int64_t c) HWY_ATTR {
      using D = decltype(d);
      const T* HWY_RESTRICT data = x.data + c;
      const auto add = [&](std::int64_t p, auto sum) HWY_ATTR { return hn::Add(sum, load(d, data + p * x.stride)); };
      const auto centre = hn::Mul(sum_over(d, begin, end, add), hn::Set(d, static_cast<A>(1.0 / count)));
      const auto add_deviation = [&](std::int64_t p, auto sum)
                                     HWY_ATTR { return hn::Add(sum, hn::Sub(load(d, data + p * x.stride), centre)); };
      const auto add_square = [&](std::int64_t p, auto sum) HWY_ATTR {
        const auto value = load(d, data + p * x.stride);
        if (copy) store(value, d, copy.data + p * copy.stride + c);
        const auto deviation = hn::Sub(value, centre);
        return hn::MulAdd(deviation, deviation, sum);
      };
      // What rounding left between the centre and the block's true mean.
      alignas(HWY_MAX_BYTES) Lanes<D> rest, square, middle;
      hn::Store(sum_over(d, begin, end, add_deviation), d, rest.data());
      hn::Store(sum_over(d, begin, end, add_square), d, square.data());
      hn::Store(centre, d, middle.data());
      // Chan, Golub, LeVeque (1979): moments of two sets from theirs.
      for (std::size_t i = 0; i < hn::MaxLanes(d); ++i) {
        const double block_mean = middle[i] + rest[i] / count;
        const double block_squares = square[i] - static_cast<double>(rest[i]) * rest[i] / count;
        const double delta = block_mean - mean[c + i];
        mean[c + i] += delta * count / (before + count);
        squares[c + i] += block_squares + delta * delta * before * count / (before + count);
      }
    });
  });
}

template <class T>
void weighted_sum_of(std::span<const ScaledTerm<T>> terms, const Compute<T>* shift,
                     std::span<const Rows<const T>> gated, Rows<const T> gate, PixelRange pixels, std::int64_t channels,
                     Rows<T> sum, Rows<T> relu) {
  using A = Compute<T>;
  for_blocks(pixels, channels, [&](std::int64_t begin, std::int64_t end) HWY_ATTR {
    for_channel_blocks<A>(channels, [&](auto d, std::int64_t c) HWY_ATTR {
      const auto zero = hn::Zero(d);
      const auto start = shift != nullptr ? load(d, shift + c) : zero;
      const auto finish = [&](std::int64_t p, auto value) HWY_ATTR {
        if (sum) store(value, d, sum.data + p * sum.stride + c);
        if (relu) store(rectified(value), d, relu.data + p * relu.stride + c);
      };
      const auto open = [&](std::int64_t p, auto value) HWY_ATTR {
        const auto mask = hn::Gt(load(d, gate.data + p * gate.stride + c), zero);
        return hn::IfThenElseZero(mask, value);
      };
      std::int64_t p = begin;
      for (; p + 4 <= end; p += 4) {
        auto s0 = start, s1 = start, s2 = start, s3 = start;
        if (!gated.empty()) {
          auto g0 = zero, g1 = zero, g2 = zero, g3 = zero;
          for (const Rows<const T>& term : gated) {
            const T* HWY_RESTRICT x = term.data + p * term.stride + c;
            g0 = hn::Add(g0, load(d, x));
            g1 = hn::Add(g1, load(d, x + term.stride));
            g2 = hn::Add(g2, load(d, x + 2 * term.stride));
            g3 = hn::Add(g3, load(d, x + 3 * term.stride));
          }
          s0 = hn::Add(s0, open(p, g0));
          s1 = hn::Add(s1, open(p + 1, g1));
          s2 = hn::Add(s2, open(p + 2, g2));
          s3 = hn::Add(s3, open(p + 3, g3));
        }
        for (const ScaledTerm<T>& term : terms) {
          const T* HWY_RESTRICT x = term.x.data + p * term.x.stride + c;
          const auto scale = load(d, term.scale + c);
          s0 = hn::MulAdd(load(d, x), scale, s0);
          s1 = hn::MulAdd(load(d, x + term.x.stride), scale, s1);
          s2 = hn::MulAdd(load(d, x + 2 * term.x.stride), scale, s2);
          s3 = hn::MulAdd(load(d, x + 3 * term.x.stride), scale, s3);
        }
        finish(p, s0);
        finish(p + 1, s1);
        finish(p + 2, s2);
        finish(p + 3, s3);
      }
      for (; p < end; ++p) {
        auto s = start;
        if (!gated.empty()) {
          auto g = zero;
          for (const Rows<const T>& term : gated) g = hn::Add(g, load(d, term.data + p * term.stride + c));
          s = hn::Add(s, open(p, g));
        }
        for (const ScaledTerm<T>& term : terms) {
          s = hn::MulAdd(load(d, term.x.data + p * term.x.stride + c), load(d, term.scale + c), s);
        }
        finish(p, s);
      }
    });
  });
}

// Loads g at pixel p, 0 where the gate is closed.
template <bool kGated, class D, class T>
HWY_INLINE hn::Vec<D> load_gated(D d, Rows<const T> g, Rows<const T> gate, std::int64_t p, std::int64_t c) {
  const auto value = load(d, g.data + p * g.stride + c);
  if constexpr (kGated) {
    return hn::IfThenElseZero(hn::Gt(load(d, gate.data + p * gate.stride + c), hn::Zero(d)), value);
  } else {
    return value;
  }
}

template <bool kGated, class T>
void dots_of(Rows<const T> g, Rows<const T> gate, std::span<const CentredTerm<T>> terms, PixelRange pixels,
             std::int64_t channels, double* HWY_RESTRICT total, double* HWY_RESTRICT out) {
  using A = Compute<T>;
  std::fill_n(total, channels, 0.0);
  std::fill_n(out, channels * static_cast<std::int64_t>(terms.size()), 0.0);
  for_blocks(pixels, channels, [&](std::int64_t begin, std::int64_t end) HWY_ATTR {
    for_channel_blocks<A>(channels, [&](auto d, std::int64_t c) HWY_ATTR {
      using D = decltype(d);
      const auto add_to = [&](double* HWY_RESTRICT to, auto sum) HWY_ATTR {
        alignas(HWY_MAX_BYTES) Lanes<D> lanes;
        hn::Store(sum, d, lanes.data());
        for (std::size_t i = 0; i < hn::MaxLanes(d); ++i) to[c + i] += lanes[i];
      };
      add_to(total, sum_over(d, begin, end, [&](std::int64_t p, auto sum) HWY_ATTR {
               return hn::Add(sum, load_gated<kGated>(d, g, gate, p, c));
             }));
      for (std::size_t t = 0; t < terms.size(); ++t) {
        const Rows<const T> x = terms[t].x;
        const auto centre = terms[t].centre != nullptr ? load(d, terms[t].centre + c) : hn::Zero(d);
        add_to(out + static_cast<std::int64_t>(t) * channels,
               sum_over(d, begin, end, [&](std::int64_t p, auto sum) HWY_ATTR {
                 return hn::MulAdd(hn::Sub(load(d, x.data + p * x.stride + c), centre),
                                   load_gated<kGated>(d, g, gate, p, c), sum);
               }));
      }
    });
  });
}

template <bool kGated, class T>
void gradient_of(Rows<const T> g, Rows<const T> gate, Rows<const T> x, const Compute<T>* a, const Compute<T>* b,
                 const Compute<T>* d, PixelRange pixels, std::int64_t channels, Rows<T> dx) {
  using A = Compute<T>;
  for_blocks(pixels, channels, [&](std::int64_t begin, std::int64_t end) HWY_ATTR {
    for_channel_blocks<A>(channels, [&](auto tag, std::int64_t c) HWY_ATTR {
      const auto slope = load(tag, a + c);
      if (b == nullptr) {
        for (std::int64_t p = begin; p < end; ++p) {
          store(hn::Mul(slope, load_gated<kGated>(tag, g, gate, p, c)), tag, dx.data + p * dx.stride + c);
        }
        return;
      }
      const auto along = load(tag, b + c);
      const auto shift = load(tag, d + c);
      for (std::int64_t p = begin; p < end; ++p) {
        const auto value = hn::MulAdd(along, load(tag, x.data + p * x.stride + c), shift);
        store(hn::MulAdd(slope, load_gated<kGated>(tag, g, gate, p, c), value), tag, dx.data + p * dx.stride + c);
      }
    });
  });
}

// HWY_EXPORT takes plain functions: one of each kind a type.
#define FLOWDARTS_KERNELS(T, NAME)                                                                                     \
  void moments_##NAME(Rows<const T> x, PixelRange pixels, std::int64_t channels, double* mean, double* squares,        \
                      Rows<T> copy) {                                                                                  \
    moments_of<T>(x, pixels, channels, mean, squares, copy);                                                           \
  }                                                                                                                    \
  void weighted_sum_##NAME(std::span<const ScaledTerm<T>> terms, const Compute<T>* shift,                              \
                           std::span<const Rows<const T>> gated, Rows<const T> gate, PixelRange pixels,                \
                           std::int64_t channels, Rows<T> sum, Rows<T> rectified) {                                    \
    weighted_sum_of<T>(terms, shift, gated, gate, pixels, channels, sum, rectified);                                   \
  }                                                                                                                    \
  void dots_##NAME(Rows<const T> g, Rows<const T> gate, std::span<const CentredTerm<T>> terms, PixelRange pixels,      \
                   std::int64_t channels, double* total, double* out) {                                                \
    gate ? dots_of<true, T>(g, gate, terms, pixels, channels, total, out)                                              \
         : dots_of<false, T>(g, gate, terms, pixels, channels, total, out);                                            \
  }                                                                                                                    \
  void gradient_##NAME(Rows<const T> g, Rows<const T> gate, Rows<const T> x, const Compute<T>* a, const Compute<T>* b, \
                       const Compute<T>* d, PixelRange pixels, std::int64_t channels, Rows<T> dx) {                    \
    gate ? gradient_of<true, T>(g, gate, x, a, b, d, pixels, channels, dx)                                             \
         : gradient_of<false, T>(g, gate, x, a, b, d, pixels, channels, dx);                                           \
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

#define FLOWDARTS_KERNELS(T, NAME)                                                                                 \
  HWY_EXPORT(moments_##NAME);                                                                                      \
  HWY_EXPORT(weighted_sum_##NAME);                                                                                 \
  HWY_EXPORT(dots_##NAME);                                                                                         \
  HWY_EXPORT(gradient_##NAME);                                                                                     \
  template <>                                                                                                      \
  void moments<T>(Rows<const T> x, PixelRange pixels, std::int64_t channels, double* mean, double* squares,        \
                  Rows<T> copy) {                                                                                  \
    HWY_DYNAMIC_DISPATCH(moments_##NAME)(x, pixels, channels, mean, squares, copy);                                \
  }                                                                                                                \
  template <>                                                                                                      \
  void weighted_sum<T>(std::span<const ScaledTerm<T>> terms, const Compute<T>* shift,                              \
                       std::span<const Rows<const T>> gated, Rows<const T> gate, PixelRange pixels,                \
                       std::int64_t channels, Rows<T> sum, Rows<T> rectified) {                                    \
    HWY_DYNAMIC_DISPATCH(weighted_sum_##NAME)(terms, shift, gated, gate, pixels, channels, sum, rectified);        \
  }                                                                                                                \
  template <>                                                                                                      \
  void dots<T>(Rows<const T> g, Rows<const T> gate, std::span<const CentredTerm<T>> terms, PixelRange pixels,      \
               std::int64_t channels, double* total, double* out) {                                                \
    HWY_DYNAMIC_DISPATCH(dots_##NAME)(g, gate, terms, pixels, channels, total, out);                               \
  }                                                                                                                \
  template <>                                                                                                      \
  void gradient<T>(Rows<const T> g, Rows<const T> gate, Rows<const T> x, const Compute<T>* a, const Compute<T>* b, \
                   const Compute<T>* d, PixelRange pixels, std::int64_t channels, Rows<T> dx) {                    \
    HWY_DYNAMIC_DISPATCH(gradient_##NAME)(g, gate, x, a, b, d, pixels, channels, dx);                              \
  }
FLOWDARTS_KERNELS(float, float)
FLOWDARTS_KERNELS(double, double)
FLOWDARTS_KERNELS(Bf16, bf16)
#undef FLOWDARTS_KERNELS

}  // namespace flowdarts::mixed_op
#endif
