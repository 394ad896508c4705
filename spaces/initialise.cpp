#include <cmath>
#include <flowdarts/spaces/initialise.hpp>
#include <flowdarts/spaces/support/random.hpp>
#include <stdexcept>
#include <vector>

namespace flowdarts {
namespace {

void fill_uniform(torch::Tensor& tensor, double bound, CounterRng rng) {
  std::vector<double> values(static_cast<std::size_t>(tensor.numel()));
  for (double& value : values) value = rng.uniform(-bound, bound);
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
    for (const auto& item : own) {
      torch::Tensor parameter = item.value();
      if (norm) {
        parameter.fill_(item.key() == "weight" ? 1.0 : 0.0);
      } else {
        fill_uniform(parameter, bound, CounterRng(seed, Stream::weight_init, 0, 0, position));
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
