#include <flowdarts/spaces/mixed_op/clamp_kernels.hpp>

#include <algorithm>
#include <array>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "flowdarts/spaces/mixed_op/clamp_kernels.cpp"
#include <hwy/foreach_target.h>  // compiles what follows once for each instruction set

#include <flowdarts/spaces/mixed_op/vector-inl.hpp>

HWY_BEFORE_NAMESPACE();
namespace flowdarts::mixed_op::HWY_NAMESPACE {
namespace {

// Calls f(tag, c, begin, end) for blocks of channels and of pixels: as many of these as stay in the first-level cache.
template <class T, class F>
HWY_INLINE void for_blocks(PixelRange pixels, std::int64_t channels, const F& f) {
  const std::int64_t step = std::clamp<std::int64_t>(4096 / channels, 8, 256);
  for (std::int64_t begin = pixels.begin; begin < pixels.end; begin += step) {
    const std::int64_t end = std::min(begin + step, pixels.end);
    for_channel_blocks<Compute<T>>(channels, [&](auto d, std::int64_t c) HWY_ATTR { f(d, c, begin, end); });
  }
}

template <class T>
void scale_clamp_of(Rows<const T> x, const Compute<T>* scale, const Compute<T>* shift, Clamp clamp, PixelRange pixels,
                    std::int64_t channels, Rows<T> out) {
  for_blocks<T>(pixels, channels, [&](auto d, std::int64_t c, std::int64_t begin, std::int64_t end) HWY_ATTR {
    const auto slope = load(d, scale + c), offset = load(d, shift + c);
    const auto low = hn::Set(d, clamp.low), high = hn::Set(d, clamp.high);
    for (std::int64_t p = begin; p < end; ++p) {
      const auto y = hn::MulAdd(load(d, x.data + p * x.stride + c), slope, offset);
      // Not Min and Max: some instruction sets' make a number of NaN.
      const auto above = hn::IfThenElse(hn::Lt(y, low), low, y);
      store(hn::IfThenElse(hn::Gt(above, high), high, above), d, out.data + p * out.stride + c);
    }
  });
}

template <class T>
void clamp_dots_of(Rows<const T> g, Rows<const T> x, const Compute<T>* scale, const Compute<T>* shift,
                   const Compute<T>* centre, Clamp clamp, PixelRange pixels, std::int64_t channels, Rows<T> passed,
                   double* HWY_RESTRICT total, double* HWY_RESTRICT dots) {
  for_blocks<T>(pixels, channels, [&](auto d, std::int64_t c, std::int64_t begin, std::int64_t end) HWY_ATTR {
    using D = decltype(d);
    const auto slope = load(d, scale + c), offset = load(d, shift + c), middle = load(d, centre + c);
    const auto low = hn::Set(d, clamp.low), high = hn::Set(d, clamp.high);
    const auto add = [&](std::int64_t p, auto& sum, auto& dot) HWY_ATTR {
      const auto value = load(d, x.data + p * x.stride + c);
      const auto y = hn::MulAdd(value, slope, offset);
      const auto through =
          hn::IfThenElseZero(hn::And(hn::Gt(y, low), hn::Lt(y, high)), load(d, g.data + p * g.stride + c));
      store(through, d, passed.data + p * passed.stride + c);
      sum = hn::Add(sum, through);
      dot = hn::MulAdd(hn::Sub(value, middle), through, dot);
    };
    auto sum0 = hn::Zero(d), sum1 = sum0, dot0 = sum0, dot1 = sum0;
    std::int64_t p = begin;
    for (; p + 2 <= end; p += 2) {
      add(p, sum0, dot0);
      add(p + 1, sum1, dot1);
    }
    if (p < end) add(p, sum0, dot0);
    alignas(HWY_MAX_BYTES) std::array<hn::TFromD<D>, HWY_MAX_BYTES / sizeof(hn::TFromD<D>)> sums, products;
    hn::Store(hn::Add(sum0, sum1), d, sums.data());
    hn::Store(hn::Add(dot0, dot1), d, products.data());
    for (std::size_t i = 0; i < hn::MaxLanes(d); ++i) {
      total[c + i] += sums[i];
      dots[c + i] += products[i];
    }
  });
}

// HWY_EXPORT takes plain functions: one of each kind a type.
#define FLOWDARTS_KERNELS(T, NAME)                                                                           \
  void scale_clamp_##NAME(Rows<const T> x, const Compute<T>* scale, const Compute<T>* shift, Clamp clamp,    \
                          PixelRange pixels, std::int64_t channels, Rows<T> out) {                           \
    scale_clamp_of<T>(x, scale, shift, clamp, pixels, channels, out);                                        \
  }                                                                                                          \
  void clamp_dots_##NAME(Rows<const T> g, Rows<const T> x, const Compute<T>* scale, const Compute<T>* shift, \
                         const Compute<T>* centre, Clamp clamp, PixelRange pixels, std::int64_t channels,    \
                         Rows<T> passed, double* total, double* dots) {                                      \
    clamp_dots_of<T>(g, x, scale, shift, centre, clamp, pixels, channels, passed, total, dots);              \
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

#define FLOWDARTS_KERNELS(T, NAME)                                                                                    \
  HWY_EXPORT(scale_clamp_##NAME);                                                                                     \
  HWY_EXPORT(clamp_dots_##NAME);                                                                                      \
  template <>                                                                                                         \
  void scale_clamp<T>(Rows<const T> x, const Compute<T>* scale, const Compute<T>* shift, Clamp clamp,                 \
                      PixelRange pixels, std::int64_t channels, Rows<T> out) {                                        \
    HWY_DYNAMIC_DISPATCH(scale_clamp_##NAME)(x, scale, shift, clamp, pixels, channels, out);                          \
  }                                                                                                                   \
  template <>                                                                                                         \
  void clamp_dots<T>(Rows<const T> g, Rows<const T> x, const Compute<T>* scale, const Compute<T>* shift,              \
                     const Compute<T>* centre, Clamp clamp, PixelRange pixels, std::int64_t channels, Rows<T> passed, \
                     double* total, double* dots) {                                                                   \
    HWY_DYNAMIC_DISPATCH(clamp_dots_##NAME)                                                                           \
    (g, x, scale, shift, centre, clamp, pixels, channels, passed, total, dots);                                       \
  }
FLOWDARTS_KERNELS(float, float)
FLOWDARTS_KERNELS(double, double)
FLOWDARTS_KERNELS(Bf16, bf16)
#undef FLOWDARTS_KERNELS

}  // namespace flowdarts::mixed_op
#endif
