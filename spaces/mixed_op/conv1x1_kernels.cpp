#include <flowdarts/spaces/mixed_op/conv1x1_kernels.hpp>

#include <algorithm>
#include <array>
#include <bit>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "flowdarts/spaces/mixed_op/conv1x1_kernels.cpp"
#include <hwy/foreach_target.h>  // compiles what follows once for each instruction set

#include <flowdarts/spaces/mixed_op/vector-inl.hpp>

HWY_BEFORE_NAMESPACE();
namespace flowdarts::mixed_op::HWY_NAMESPACE {
namespace {

// Pixels whose rows stay in the first-level cache while all blocks of output channels pass over them.
constexpr std::int64_t kTile = 64;
// Pixels a weight gradient is summed over in float.
constexpr std::int64_t kSpan = 256;

HWY_INLINE float value_of(float x) {
  return x;
}
HWY_INLINE double value_of(double x) {
  return x;
}
HWY_INLINE float value_of(Bf16 x) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(x.bits) << 16U);
}

template <class T>
void pointwise_of(const T* HWY_RESTRICT x, const Compute<T>* HWY_RESTRICT weight, const Compute<T>* bias,
                  std::int64_t pixels, std::int64_t in, std::int64_t out, T* HWY_RESTRICT y) {
  using A = Compute<T>;
  for (std::int64_t begin = 0; begin < pixels; begin += kTile) {
    const std::int64_t end = std::min(begin + kTile, pixels);
    for_channel_blocks<A>(out, [&](auto d, std::int64_t c) HWY_ATTR {
      const auto start = bias != nullptr ? load(d, bias + c) : hn::Zero(d);
      std::int64_t p = begin;
      for (; p + 8 <= end; p += 8) {
        auto s0 = start, s1 = start, s2 = start, s3 = start, s4 = start, s5 = start, s6 = start, s7 = start;
        const T* HWY_RESTRICT from = x + p * in;
        for (std::int64_t i = 0; i < in; ++i) {
          const auto w = load(d, weight + i * out + c);
          s0 = hn::MulAdd(hn::Set(d, value_of(from[i])), w, s0);
          s1 = hn::MulAdd(hn::Set(d, value_of(from[in + i])), w, s1);
          s2 = hn::MulAdd(hn::Set(d, value_of(from[2 * in + i])), w, s2);
          s3 = hn::MulAdd(hn::Set(d, value_of(from[3 * in + i])), w, s3);
          s4 = hn::MulAdd(hn::Set(d, value_of(from[4 * in + i])), w, s4);
          s5 = hn::MulAdd(hn::Set(d, value_of(from[5 * in + i])), w, s5);
          s6 = hn::MulAdd(hn::Set(d, value_of(from[6 * in + i])), w, s6);
          s7 = hn::MulAdd(hn::Set(d, value_of(from[7 * in + i])), w, s7);
        }
        T* HWY_RESTRICT to = y + p * out + c;
        store(s0, d, to);
        store(s1, d, to + out);
        store(s2, d, to + 2 * out);
        store(s3, d, to + 3 * out);
        store(s4, d, to + 4 * out);
        store(s5, d, to + 5 * out);
        store(s6, d, to + 6 * out);
        store(s7, d, to + 7 * out);
      }
      for (; p < end; ++p) {
        auto sum = start;
        for (std::int64_t i = 0; i < in; ++i) {
          sum = hn::MulAdd(hn::Set(d, value_of(x[p * in + i])), load(d, weight + i * out + c), sum);
        }
        store(sum, d, y + p * out + c);
      }
    });
  }
}

template <class T>
void weight_gradient_of(const T* HWY_RESTRICT x, const T* HWY_RESTRICT g, std::int64_t pixels, std::int64_t in,
                        std::int64_t out, double* HWY_RESTRICT dweight) {
  using A = Compute<T>;
  for (std::int64_t begin = 0; begin < pixels; begin += kSpan) {
    const std::int64_t end = std::min(begin + kSpan, pixels);
    for_channel_blocks<A>(out, [&](auto d, std::int64_t c) HWY_ATTR {
      const auto add = [&](std::int64_t i, auto sum) HWY_ATTR {
        alignas(HWY_MAX_BYTES) std::array<A, hn::MaxLanes(d)> lanes;
        hn::Store(sum, d, lanes.data());
        for (std::size_t lane = 0; lane < lanes.size(); ++lane) dweight[i * out + c + lane] += lanes[lane];
      };
      std::int64_t i = 0;
      for (; i + 8 <= in; i += 8) {
        auto s0 = hn::Zero(d), s1 = s0, s2 = s0, s3 = s0, s4 = s0, s5 = s0, s6 = s0, s7 = s0;
        for (std::int64_t p = begin; p < end; ++p) {
          const auto own = load(d, g + p * out + c);
          const T* HWY_RESTRICT from = x + p * in + i;
          s0 = hn::MulAdd(hn::Set(d, value_of(from[0])), own, s0);
          s1 = hn::MulAdd(hn::Set(d, value_of(from[1])), own, s1);
          s2 = hn::MulAdd(hn::Set(d, value_of(from[2])), own, s2);
          s3 = hn::MulAdd(hn::Set(d, value_of(from[3])), own, s3);
          s4 = hn::MulAdd(hn::Set(d, value_of(from[4])), own, s4);
          s5 = hn::MulAdd(hn::Set(d, value_of(from[5])), own, s5);
          s6 = hn::MulAdd(hn::Set(d, value_of(from[6])), own, s6);
          s7 = hn::MulAdd(hn::Set(d, value_of(from[7])), own, s7);
        }
        add(i, s0);
        add(i + 1, s1);
        add(i + 2, s2);
        add(i + 3, s3);
        add(i + 4, s4);
        add(i + 5, s5);
        add(i + 6, s6);
        add(i + 7, s7);
      }
      for (; i < in; ++i) {
        auto sum = hn::Zero(d);
        for (std::int64_t p = begin; p < end; ++p) {
          sum = hn::MulAdd(hn::Set(d, value_of(x[p * in + i])), load(d, g + p * out + c), sum);
        }
        add(i, sum);
      }
    });
  }
}

// HWY_EXPORT takes plain functions: one of each kind a type.
#define FLOWDARTS_KERNELS(T, NAME)                                                                            \
  void pointwise_##NAME(const T* x, const Compute<T>* weight, const Compute<T>* bias, std::int64_t pixels,    \
                        std::int64_t in, std::int64_t out, T* y) {                                            \
    pointwise_of<T>(x, weight, bias, pixels, in, out, y);                                                     \
  }                                                                                                           \
  void weight_gradient_##NAME(const T* x, const T* g, std::int64_t pixels, std::int64_t in, std::int64_t out, \
                              double* dweight) {                                                              \
    weight_gradient_of<T>(x, g, pixels, in, out, dweight);                                                    \
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

#define FLOWDARTS_KERNELS(T, NAME)                                                                                  \
  HWY_EXPORT(pointwise_##NAME);                                                                                     \
  HWY_EXPORT(weight_gradient_##NAME);                                                                               \
  template <>                                                                                                       \
  void pointwise<T>(const T* x, const Compute<T>* weight, const Compute<T>* bias, std::int64_t pixels,              \
                    std::int64_t in, std::int64_t out, T* y) {                                                      \
    HWY_DYNAMIC_DISPATCH(pointwise_##NAME)(x, weight, bias, pixels, in, out, y);                                    \
  }                                                                                                                 \
  template <>                                                                                                       \
  void pointwise_weight_gradient<T>(const T* x, const T* g, std::int64_t pixels, std::int64_t in, std::int64_t out, \
                                    double* dweight) {                                                              \
    HWY_DYNAMIC_DISPATCH(weight_gradient_##NAME)(x, g, pixels, in, out, dweight);                                   \
  }
FLOWDARTS_KERNELS(float, float)
FLOWDARTS_KERNELS(double, double)
FLOWDARTS_KERNELS(Bf16, bf16)
#undef FLOWDARTS_KERNELS

}  // namespace flowdarts::mixed_op
#endif
