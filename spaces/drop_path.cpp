#include <flowdarts/spaces/drop_path.hpp>
#include <flowdarts/spaces/support/random.hpp>
#include <limits>
#include <vector>

namespace flowdarts {
namespace {

/// No op of a network has this number.
constexpr std::uint64_t elements = std::numeric_limits<std::uint64_t>::max();

torch::Tensor factors(std::int64_t count, double probability, std::uint64_t seed, std::uint64_t op) {
  const double keep = 1.0 - probability;
  CounterRng rng(seed, Stream::noise, 0, 0, op);
  std::vector<double> values(static_cast<std::size_t>(count));
  for (double& value : values) value = rng.uniform() < keep ? 1.0 / keep : 0.0;
  return torch::tensor(values, torch::kDouble);
}

}  // namespace

torch::Tensor drop_samples(const torch::Tensor& x, const DropPath& drop_path, std::uint64_t op) {
  return x * factors(x.size(0), drop_path.probability, drop_path.seed, op).to(x.options()).view({-1, 1, 1, 1});
}

torch::Tensor drop_elements(const torch::Tensor& x, double probability, std::uint64_t seed) {
  return x * factors(x.numel(), probability, seed, elements).to(x.options()).view(x.sizes());
}

}  // namespace flowdarts
