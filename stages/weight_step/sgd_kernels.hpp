#pragma once
// The two passes over memory that an SGD step is made of, on a CPU. T: float or double. No LibTorch here.

#include <cstdint>

namespace flowdarts::optimizer {

struct SgdFactors {
  double gradient_scale = 1.0;  // what clipping left of the gradient
  double weight_decay = 0.0;
  double momentum = 0.0;
  double lr = 0.0;
  bool nesterov = false;
};

/// The sum of the squares of x [count], in double.
template <class T>
double sum_of_squares(const T* x, std::int64_t count);

/// d = gradient_scale gradient + weight_decay weight; velocity = momentum velocity + d;
/// weight -= lr (nesterov ? d + momentum velocity : velocity). Each [count]; gradient null: 0. gradient may be weight.
template <class T>
void sgd_update(T* weight, T* velocity, const T* gradient, std::int64_t count, const SgdFactors& factors);

}  // namespace flowdarts::optimizer
