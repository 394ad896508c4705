#pragma once
// What concerns all parameters of a module at once.

#include <torch/torch.h>

#include <cstdint>

namespace flowdarts {

/// Draws every parameter of `module` anew, with LibTorch's default distributions: a weight of two or more dimensions
/// (convolution, linear layer) and the bias beside it are uniform in +-1/sqrt(fan_in), fan_in being the elements of the
/// weight that feed one output; the scale and shift of a batch norm are 1 and 0. Each tensor has a random sequence of
/// its own, of Stream::weight_init and its position among the parameters, drawn in double precision and then cast: the
/// result depends on the seed and the module's structure alone. Throws std::logic_error for a parameter of another
/// kind.
void initialise(torch::nn::Module& module, std::uint64_t seed);

/// The number of learnable scalars.
std::int64_t parameter_count(const torch::nn::Module& module);

}  // namespace flowdarts
