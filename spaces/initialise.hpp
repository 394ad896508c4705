#pragma once
// What concerns all parameters of a module at once.

#include <torch/torch.h>

#include <cstdint>

namespace flowdarts {

/// A convolution whose weight initialise() draws from a normal distribution of variance 2 / (k k out_channels),
/// whatever its groups (He et al., ICCV 2015, by fan-out).
class FanOutConv2d : public torch::nn::Conv2dImpl {
 public:
  using torch::nn::Conv2dImpl::Conv2dImpl;
};

/// A linear layer whose bias initialise() sets to 0.
class ZeroBiasLinear : public torch::nn::LinearImpl {
 public:
  using torch::nn::LinearImpl::LinearImpl;
};

/// Draws every parameter of `module` anew, with LibTorch's default distributions but for the layers above: a weight of
/// two or more dimensions (convolution, linear layer) and the bias beside it are uniform in +-1/sqrt(fan_in), fan_in
/// being the elements of the weight that feed one output; the scale and shift of a batch norm are 1 and 0. Each tensor
/// has a random sequence of its own, of Stream::weight_init and its position among the parameters, drawn in double
/// precision and then cast: the result depends on the seed and the module's structure alone. Throws std::logic_error
/// for a parameter of another kind.
void initialise(torch::nn::Module& module, std::uint64_t seed);

/// The number of learnable scalars.
std::int64_t parameter_count(const torch::nn::Module& module);

}  // namespace flowdarts
