#include <flowdarts/stages/weight_step/sgd_kernels.hpp>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "flowdarts/stages/weight_step/sgd_kernels.cpp"
#include <hwy/foreach_target.h>  // compiles what follows once for each instruction set

#include <flowdarts/spaces/mixed_op/vector-inl.hpp>

HWY_BEFORE_NAMESPACE();
namespace flowdarts::optimizer::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;
using mixed_op::HWY_NAMESPACE::for_channel_blocks;

template <class D>
HWY_INLINE hn::Vec<D> load_double(D d, const double* x) {
  return hn::LoadU(d, x);
}

template <class D>
HWY_INLINE hn::Vec<D> load_double(D d, const float* x) {
  return hn::PromoteTo(d, hn::LoadU(hn::Rebind<float, D>(), x));
}

// The square of a float is exact in double, and no double sum of float squares overflows.
template <class T>
double sum_of_squares_of(const T* x, std::int64_t count) {
  const hn::ScalableTag<double> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const auto add = [&](std::int64_t i, auto sum) HWY_ATTR {
    const auto value = load_double(d, x + i);
    return hn::MulAdd(value, value, sum);
  };
  auto s0 = hn::Zero(d), s1 = s0, s2 = s0, s3 = s0;
  std::int64_t i = 0;
  for (; i + 4 * lanes <= count; i += 4 * lanes) {
    s0 = add(i, s0);
    s1 = add(i + lanes, s1);
    s2 = add(i + 2 * lanes, s2);
    s3 = add(i + 3 * lanes, s3);
  }
  for (; i + lanes <= count; i += lanes) s0 = add(i, s0);
  double sum = hn::GetLane(hn::SumOfLanes(d, hn::Add(hn::Add(s0, s1), hn::Add(s2, s3))));
  for (; i < count; ++i) sum += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  return sum;
}

template <bool kGradient, bool kNesterov, class T>
void sgd_update_of(T* weight, T* velocity, const T* gradient, std::int64_t count, const SgdFactors& factors) {
  for_channel_blocks<T>(count, [&](auto d, std::int64_t i) HWY_ATTR {
    const auto momentum = hn::Set(d, static_cast<T>(factors.momentum));
    const auto w = hn::LoadU(d, weight + i);
    auto g = hn::Mul(hn::Set(d, static_cast<T>(factors.weight_decay)), w);
    if constexpr (kGradient) {
      g = hn::MulAdd(hn::Set(d, static_cast<T>(factors.gradient_scale)), hn::LoadU(d, gradient + i), g);
    }
    const auto v = hn::MulAdd(momentum, hn::LoadU(d, velocity + i), g);
    hn::StoreU(v, d, velocity + i);
    auto step = v;
    if constexpr (kNesterov) step = hn::MulAdd(momentum, v, g);
    hn::StoreU(hn::NegMulAdd(hn::Set(d, static_cast<T>(factors.lr)), step, w), d, weight + i);
  });
}

template <bool kGradient, class T>
void sgd_update_of(T* weight, T* velocity, const T* gradient, std::int64_t count, const SgdFactors& factors) {
  factors.nesterov ? sgd_update_of<kGradient, true>(weight, velocity, gradient, count, factors)
                   : sgd_update_of<kGradient, false>(weight, velocity, gradient, count, factors);
}

// HWY_EXPORT takes plain functions: one of each kind a type.
#define FLOWDARTS_KERNELS(T)                                                                                      \
  double sum_of_squares_##T(const T* x, std::int64_t count) {                                                     \
    return sum_of_squares_of(x, count);                                                                           \
  }                                                                                                               \
  void sgd_update_##T(T* weight, T* velocity, const T* gradient, std::int64_t count, const SgdFactors& factors) { \
    gradient != nullptr ? sgd_update_of<true>(weight, velocity, gradient, count, factors)                         \
                        : sgd_update_of<false>(weight, velocity, gradient, count, factors);                       \
  }
FLOWDARTS_KERNELS(float)
FLOWDARTS_KERNELS(double)
#undef FLOWDARTS_KERNELS

}  // namespace
}  // namespace flowdarts::optimizer::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace flowdarts::optimizer {

#define FLOWDARTS_KERNELS(T)                                                                                       \
  HWY_EXPORT(sum_of_squares_##T);                                                                                  \
  HWY_EXPORT(sgd_update_##T);                                                                                      \
  template <>                                                                                                      \
  double sum_of_squares<T>(const T* x, std::int64_t count) {                                                       \
    return HWY_DYNAMIC_DISPATCH(sum_of_squares_##T)(x, count);                                                     \
  }                                                                                                                \
  template <>                                                                                                      \
  void sgd_update<T>(T * weight, T * velocity, const T* gradient, std::int64_t count, const SgdFactors& factors) { \
    HWY_DYNAMIC_DISPATCH(sgd_update_##T)(weight, velocity, gradient, count, factors);                              \
  }
FLOWDARTS_KERNELS(float)
FLOWDARTS_KERNELS(double)
#undef FLOWDARTS_KERNELS

}  // namespace flowdarts::optimizer
#endif
