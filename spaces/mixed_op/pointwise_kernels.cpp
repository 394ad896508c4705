#include <flowdarts/spaces/mixed_op/pointwise_kernels.hpp>

#include <algorithm>
#include <array>
#include <type_traits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "flowdarts/spaces/mixed_op/pointwise_kernels.cpp"
#include <hwy/foreach_target.h>  // compiles what follows once for each instruction set

#include <flowdarts/spaces/mixed_op/product-inl.hpp>

#ifndef FLOWDARTS_MIXED_OP_POINTWISE_BLOCK
#define FLOWDARTS_MIXED_OP_POINTWISE_BLOCK
namespace flowdarts::mixed_op {
namespace {

constexpr std::int64_t block_pixels = 64;  // worked on together, in the first-level cache

}  // namespace
}  // namespace flowdarts::mixed_op
#endif

HWY_BEFORE_NAMESPACE();
namespace flowdarts::mixed_op::HWY_NAMESPACE {
namespace {

template <class F>
HWY_INLINE void for_pixel_blocks(PixelRange pixels, const F& f) {
  for (std::int64_t p = pixels.begin; p < pixels.end; p += block_pixels) f(p, std::min(block_pixels, pixels.end - p));
}

template <class T, class A>
void pointwise_sum_of(std::span<const PointwiseTerm<T>> terms, const A* matrices, const A* shift, PixelRange pixels,
                      std::int64_t channels, T* out, A* scratch) {
  const std::int64_t depth = static_cast<std::int64_t>(terms.size()) * channels;
  A* sum = scratch;
  A* values = scratch + block_pixels * channels;  // of all terms side by side
  for_pixel_blocks(pixels, [&](std::int64_t first, std::int64_t count) HWY_ATTR {
    for (std::size_t t = 0; t < terms.size(); ++t) {
      copy_pixels<T, A>(terms[t].x.from(first), count, channels, terms[t].relu, nullptr,
                        values + static_cast<std::int64_t>(t) * channels, depth);
    }
    product(count, channels, depth, ByRows<A>{values, depth}, {matrices, channels}, {sum, channels}, false);
    for_channel_blocks<A>(channels, [&](auto d, std::int64_t c) HWY_ATTR {
      const auto offset = hn::LoadU(d, shift + c);
      T* HWY_RESTRICT to = out + (first - pixels.begin) * channels + c;
      for (std::int64_t p = 0; p < count; ++p) {
        store(hn::Add(hn::LoadU(d, sum + p * channels + c), offset), d, to + p * channels);
      }
    });
  });
}

template <class T, class A>
void covariance_of(Rows<const T> x, PixelRange pixels, std::int64_t channels, double* HWY_RESTRICT mean,
                   A* HWY_RESTRICT products, A* scratch) {
  A* values = scratch;
  A* centre = scratch + block_pixels * channels;
  std::fill_n(mean, channels, 0.0);
  for_pixel_blocks(pixels, [&](std::int64_t first, std::int64_t count) HWY_ATTR {
    for_channel_blocks<A>(channels, [&](auto d, std::int64_t c) HWY_ATTR {
      auto sum = hn::Zero(d);
      for (std::int64_t p = first; p < first + count; ++p) {
        sum = hn::Add(sum, rectified(load(d, x.data + p * x.stride + c)));
      }
      alignas(HWY_MAX_BYTES) std::array<A, HWY_MAX_BYTES / sizeof(A)> lanes;
      hn::Store(sum, d, lanes.data());
      for (std::size_t i = 0; i < hn::MaxLanes(d); ++i) mean[c + i] += lanes[i];
    });
  });
  for (std::int64_t c = 0; c < channels; ++c) {
    mean[c] /= static_cast<double>(pixels.end - pixels.begin);
    centre[c] = static_cast<A>(mean[c]);
  }
  std::fill_n(products, channels * channels, A(0));
  for_pixel_blocks(pixels, [&](std::int64_t first, std::int64_t count) HWY_ATTR {
    copy_pixels<T, A>(x.from(first), count, channels, /*relu=*/true, centre, values, channels);
    product(channels, channels, count, ByColumns<A>{values, channels}, {values, channels}, {products, channels}, true);
  });
}

template <class T, class A>
void outer_products_of(Rows<const T> x, Rows<const T> g, PixelRange pixels, std::int64_t channels, A* products,
                       A* scratch) {
  A* values = scratch;
  A* gradients = scratch + block_pixels * channels;
  for_pixel_blocks(pixels, [&](std::int64_t first, std::int64_t count) HWY_ATTR {
    copy_pixels<T, A>(x.from(first), count, channels, /*relu=*/true, nullptr, values, channels);
    Right<const A> right{gradients, channels};
    if constexpr (std::is_same_v<T, A>) {
      right = {g.from(first).data, g.stride};
    } else {
      copy_pixels<T, A>(g.from(first), count, channels, /*relu=*/false, nullptr, gradients, channels);
    }
    product(channels, channels, count, ByColumns<A>{values, channels}, right, {products, channels}, true);
  });
}

// HWY_EXPORT takes plain functions: one of each kind a type.
#define FLOWDARTS_KERNELS(T, NAME)                                                                       \
  void pointwise_sum_##NAME(std::span<const PointwiseTerm<T>> terms, const Compute<T>* matrices,         \
                            const Compute<T>* shift, PixelRange pixels, std::int64_t channels, T* out,   \
                            Compute<T>* scratch) {                                                       \
    pointwise_sum_of<T>(terms, matrices, shift, pixels, channels, out, scratch);                         \
  }                                                                                                      \
  void covariance_##NAME(Rows<const T> x, PixelRange pixels, std::int64_t channels, double* mean,        \
                         Compute<T>* products, Compute<T>* scratch) {                                    \
    covariance_of<T>(x, pixels, channels, mean, products, scratch);                                      \
  }                                                                                                      \
  void outer_products_##NAME(Rows<const T> x, Rows<const T> g, PixelRange pixels, std::int64_t channels, \
                             Compute<T>* products, Compute<T>* scratch) {                                \
    outer_products_of<T>(x, g, pixels, channels, products, scratch);                                     \
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

std::int64_t pointwise_scratch(std::int64_t channels, std::int64_t terms) {
  return (terms + 1) * block_pixels * channels;
}

#define FLOWDARTS_KERNELS(T, NAME)                                                                                    \
  HWY_EXPORT(pointwise_sum_##NAME);                                                                                   \
  HWY_EXPORT(covariance_##NAME);                                                                                      \
  HWY_EXPORT(outer_products_##NAME);                                                                                  \
  template <>                                                                                                         \
  void pointwise_sum<T>(std::span<const PointwiseTerm<T>> terms, const Compute<T>* matrices, const Compute<T>* shift, \
                        PixelRange pixels, std::int64_t channels, T* out, Compute<T>* scratch) {                      \
    HWY_DYNAMIC_DISPATCH(pointwise_sum_##NAME)(terms, matrices, shift, pixels, channels, out, scratch);               \
  }                                                                                                                   \
  template <>                                                                                                         \
  void covariance<T>(Rows<const T> x, PixelRange pixels, std::int64_t channels, double* mean, Compute<T>* products,   \
                     Compute<T>* scratch) {                                                                           \
    HWY_DYNAMIC_DISPATCH(covariance_##NAME)(x, pixels, channels, mean, products, scratch);                            \
  }                                                                                                                   \
  template <>                                                                                                         \
  void outer_products<T>(Rows<const T> x, Rows<const T> g, PixelRange pixels, std::int64_t channels,                  \
                         Compute<T> * products, Compute<T> * scratch) {                                               \
    HWY_DYNAMIC_DISPATCH(outer_products_##NAME)(x, g, pixels, channels, products, scratch);                           \
  }
FLOWDARTS_KERNELS(float, float)
FLOWDARTS_KERNELS(double, double)
FLOWDARTS_KERNELS(Bf16, bf16)
#undef FLOWDARTS_KERNELS

}  // namespace flowdarts::mixed_op
#endif
