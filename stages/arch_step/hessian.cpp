#include <cmath>
#include <cstdint>
#include <flowdarts/stages/arch_step/hessian.hpp>

namespace flowdarts {
namespace {

torch::Tensor flattened(const std::vector<torch::Tensor>& parts) {
  std::vector<torch::Tensor> flat;
  for (const torch::Tensor& part : parts) flat.push_back(part.detach().to(torch::kCPU, torch::kDouble).reshape(-1));
  return torch::cat(flat);
}

}  // namespace

std::pair<double, double> dominant_eigenvalues(const std::vector<torch::Tensor>& alphas,
                                               const std::function<std::vector<torch::Tensor>()>& gradient) {
  constexpr double radius = 1e-2;
  std::vector<torch::Tensor> columns;
  for (torch::Tensor alpha : alphas) {
    const torch::Tensor saved = alpha.detach().clone();
    for (std::int64_t j = 0; j < alpha.numel(); ++j) {
      const auto at = [&](double offset) {
        {
          const torch::NoGradGuard no_grad;
          alpha.copy_(saved);
          alpha.view(-1)[j] += offset;
        }
        return flattened(gradient());
      };
      const torch::Tensor plus = at(radius);
      columns.push_back((plus - at(-radius)) / (2.0 * radius));
    }
    const torch::NoGradGuard no_grad;
    alpha.copy_(saved);
  }
  const torch::Tensor hessian = torch::stack(columns, 1);
  const torch::Tensor values = at::linalg_eigvalsh((hessian + hessian.t()) / 2.0);  // ascending
  const double smallest = values[0].item<double>();
  const double largest = values[-1].item<double>();
  return {largest, std::abs(smallest) > std::abs(largest) ? smallest : largest};
}

}  // namespace flowdarts
