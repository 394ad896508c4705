#include <flowdarts/stages/arch_step/adam_kernels.hpp>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "flowdarts/stages/arch_step/adam_kernels.cpp"
#include <hwy/foreach_target.h>  // compiles what follows once for each instruction set

#include <flowdarts/spaces/mixed_op/vector-inl.hpp>

HWY_BEFORE_NAMESPACE();
namespace flowdarts::optimizer::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;
using mixed_op::HWY_NAMESPACE::for_channel_blocks;

template <class T>
void adam_update_of(T* weight, T* first, T* second, const T* gradient, std::int64_t count, const AdamFactors& factors) {
  for_channel_blocks<T>(count, [&](auto d, std::int64_t i) HWY_ATTR {
    const auto constant = [&](double value) HWY_ATTR { return hn::Set(d, static_cast<T>(value)); };
    const auto w = hn::LoadU(d, weight + i);
    const auto g = hn::MulAdd(constant(factors.weight_decay), w, hn::LoadU(d, gradient + i));
    const auto m =
        hn::MulAdd(constant(factors.beta1), hn::LoadU(d, first + i), hn::Mul(constant(1.0 - factors.beta1), g));
    const auto v = hn::MulAdd(constant(factors.beta2), hn::LoadU(d, second + i),
                              hn::Mul(hn::Mul(constant(1.0 - factors.beta2), g), g));
    const auto root = hn::MulAdd(hn::Sqrt(v), constant(1.0 / factors.root_correction2), constant(factors.eps));
    hn::StoreU(m, d, first + i);
    hn::StoreU(v, d, second + i);
    hn::StoreU(hn::NegMulAdd(constant(factors.step_size), hn::Div(m, root), w), d, weight + i);
  });
}

// HWY_EXPORT takes plain functions: one a type.
#define FLOWDARTS_KERNELS(T)                                                                  \
  void adam_update_##T(T* weight, T* first, T* second, const T* gradient, std::int64_t count, \
                       const AdamFactors& factors) {                                          \
    adam_update_of(weight, first, second, gradient, count, factors);                          \
  }
FLOWDARTS_KERNELS(float)
FLOWDARTS_KERNELS(double)
#undef FLOWDARTS_KERNELS

}  // namespace
}  // namespace flowdarts::optimizer::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace flowdarts::optimizer {

#define FLOWDARTS_KERNELS(T)                                                                    \
  HWY_EXPORT(adam_update_##T);                                                                  \
  template <>                                                                                   \
  void adam_update<T>(T * weight, T * first, T * second, const T* gradient, std::int64_t count, \
                      const AdamFactors& factors) {                                             \
    HWY_DYNAMIC_DISPATCH(adam_update_##T)(weight, first, second, gradient, count, factors);     \
  }
FLOWDARTS_KERNELS(float)
FLOWDARTS_KERNELS(double)
#undef FLOWDARTS_KERNELS

}  // namespace flowdarts::optimizer
#endif
