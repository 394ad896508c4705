#include <flowdarts/spaces/mixed_op/conv1x1_kernels.hpp>

#include <algorithm>
#include <type_traits>
#include <vector>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "flowdarts/spaces/mixed_op/conv1x1_kernels.cpp"
#include <hwy/foreach_target.h>  // compiles what follows once for each instruction set

#include <flowdarts/spaces/mixed_op/product-inl.hpp>

HWY_BEFORE_NAMESPACE();
namespace flowdarts::mixed_op::HWY_NAMESPACE {
namespace {

// Pixels worked on together, in the first-level cache.
constexpr std::int64_t block_pixels = 64;
// Pixels a weight gradient is summed over in float.
constexpr std::int64_t span_pixels = 256;

/// Pixels [pixels, channels] as Compute<T>: where they lie, or copied to `room`.
template <class T, class A = Compute<T>>
const A* values_of(const T* x, std::int64_t pixels, std::int64_t channels, std::vector<A>& room) {
  if constexpr (std::is_same_v<T, A>) {
    return x;
  } else {
    room.resize(static_cast<std::size_t>(pixels * channels));
    copy_pixels<T, A>({x, channels}, pixels, channels, /*relu=*/false, nullptr, room.data(), channels);
    return room.data();
  }
}

template <class T>
void pointwise_of(const T* x, const Compute<T>* weight, const Compute<T>* bias, std::int64_t pixels, std::int64_t in,
                  std::int64_t out, T* y) {
  using A = Compute<T>;
  std::vector<A> room, sums(static_cast<std::size_t>(std::min(block_pixels, pixels) * out));
  for (std::int64_t first = 0; first < pixels; first += block_pixels) {
    const std::int64_t count = std::min(block_pixels, pixels - first);
    if (bias != nullptr) {
      for (std::int64_t p = 0; p < count; ++p) std::copy_n(bias, out, sums.data() + p * out);
    }
    product(count, out, in, ByRows<A>{values_of(x + first * in, count, in, room), in}, {weight, out},
            {sums.data(), out}, bias != nullptr);
    for_channel_blocks<A>(count * out, [&](auto d, std::int64_t i)
                                           HWY_ATTR { store(hn::LoadU(d, sums.data() + i), d, y + first * out + i); });
  }
}

template <class T>
void weight_gradient_of(const T* x, const T* g, std::int64_t pixels, std::int64_t in, std::int64_t out,
                        double* dweight) {
  using A = Compute<T>;
  std::vector<A> x_room, g_room, sums(static_cast<std::size_t>(in * out));
  for (std::int64_t first = 0; first < pixels; first += span_pixels) {
    const std::int64_t count = std::min(span_pixels, pixels - first);
    product(in, out, count, ByColumns<A>{values_of(x + first * in, count, in, x_room), in},
            {values_of(g + first * out, count, out, g_room), out}, {sums.data(), out}, false);
    for (std::size_t i = 0; i < sums.size(); ++i) dweight[i] += sums[i];
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
