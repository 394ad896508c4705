#pragma once
// The one pass over memory that an Adam step is, on a CPU. T: float or double. No LibTorch here.

#include <cstdint>

namespace flowdarts::optimizer {

struct AdamFactors {
  double weight_decay = 0.0;
  double beta1 = 0.0;
  double beta2 = 0.0;
  double step_size = 0.0;         // lr / (1 - beta1^t)
  double root_correction2 = 1.0;  // sqrt(1 - beta2^t)
  double eps = 0.0;
};

/// d = gradient + weight_decay weight; first = beta1 first + (1 - beta1) d; second = beta2 second + (1 - beta2) d^2;
/// weight -= step_size first / (sqrt(second) / root_correction2 + eps). Each [count]; gradient may be weight.
template <class T>
void adam_update(T* weight, T* first, T* second, const T* gradient, std::int64_t count, const AdamFactors& factors);

}  // namespace flowdarts::optimizer
