#include <cmath>
#include <flowdarts/spaces/initialise.hpp>
#include <flowdarts/spaces/support/random.hpp>
#include <stdexcept>
#include <vector>

namespace flowdarts {
namespace {

/// Fills the tensor with what draw() gives.
template <class Draw>
void fill(torch::Tensor& tensor, const Draw& draw) {
  std::vector<double> values(static_cast<std::size_t>(tensor.numel()));
  for (double& value : values) value = draw();
  tensor.copy_(torch::from_blob(values.data(), tensor.sizes(), torch::kFloat64));
}

}  // namespace

void initialise(torch::nn::Module& module, std::uint64_t seed) {
  const torch::NoGradGuard no_grad;
  std::uint64_t position = 0;
  module.apply([&](torch::nn::Module& layer) {
    const auto own = layer.named_parameters(/*recurse=*/false);
    if (own.is_empty()) return;
    const torch::Tensor* weight = own.find("weight");
    if (weight == nullptr || own.size() > (own.contains("bias") ? 2U : 1U)) {
      throw std::logic_error("initialise: " + layer.name() + " has parameters other than weight and bias");
    }
    const bool norm = weight->dim() == 1;
    const double bound = norm ? 0.0 : 1.0 / std::sqrt(static_cast<double>(weight->numel() / weight->size(0)));
    const bool fan_out = layer.as<FanOutConv2d>() != nullptr;
    const bool zero_bias = layer.as<ZeroBiasLinear>() != nullptr;
    for (const auto& item : own) {
      torch::Tensor parameter = item.value();
      if (norm) {
        parameter.fill_(item.key() == "weight" ? 1.0 : 0.0);
      } else if (zero_bias && item.key() == "bias") {
        parameter.zero_();
      } else {
        CounterRng rng(seed, Stream::weight_init, 0, 0, position);
        if (fan_out) {
          const double deviation =
              std::sqrt(2.0 / static_cast<double>(weight->size(0) * weight->size(2) * weight->size(3)));
          fill(parameter, [&] { return deviation * rng.normal(); });
        } else {
          fill(parameter, [&] { return rng.uniform(-bound, bound); });
        }
      }
      ++position;
    }
  });
}

std::int64_t parameter_count(const torch::nn::Module& module) {
  std::int64_t count = 0;
  for (const auto& parameter : module.parameters()) count += parameter.numel();
  return count;
}

}  // namespace flowdarts
