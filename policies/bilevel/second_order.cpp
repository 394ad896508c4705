#include <flowdarts/policies/bilevel/second_order.hpp>
#include <utility>

namespace flowdarts {
namespace {

constexpr double smallest_norm = 1e-12;

/// Puts the weights back when it goes out of scope.
class SavedWeights {
 public:
  explicit SavedWeights(const std::vector<torch::Tensor>& weights) : live_(weights) {
    const torch::NoGradGuard no_grad;
    for (const torch::Tensor& weight : weights) saved_.push_back(weight.detach().clone());
  }
  SavedWeights(const SavedWeights&) = delete;
  SavedWeights& operator=(const SavedWeights&) = delete;
  ~SavedWeights() { restore(); }

  void restore() const {
    const torch::NoGradGuard no_grad;
    for (std::size_t i = 0; i < live_.size(); ++i) torch::Tensor(live_[i]).copy_(saved_[i]);
  }

  /// w = saved + scale * direction; scale: a number, or a tensor of no dimensions.
  template <class Scale>
  void displace(const Scale& scale, const std::vector<torch::Tensor>& direction) const {
    const torch::NoGradGuard no_grad;
    for (std::size_t i = 0; i < live_.size(); ++i) {
      torch::Tensor(live_[i]).copy_(saved_[i]).add_(direction[i] * scale);
    }
  }

 private:
  const std::vector<torch::Tensor>& live_;
  std::vector<torch::Tensor> saved_;
};

class StatisticsHeld {
 public:
  explicit StatisticsHeld(const std::function<void(bool)>& set) : set_(set) { set_(false); }
  StatisticsHeld(const StatisticsHeld&) = delete;
  StatisticsHeld& operator=(const StatisticsHeld&) = delete;
  ~StatisticsHeld() { set_(true); }

 private:
  const std::function<void(bool)>& set_;
};

}  // namespace

ArchGradient SecondOrder::arch_gradient(const BilevelProblem& problem) const {
  const SavedWeights saved(problem.weights);
  const double xi = problem.weight_lr;

  std::vector<torch::Tensor> step;
  {
    const StatisticsHeld held(problem.set_statistics_updates);
    step = problem.gradients(problem.train_loss(), problem.weights);
  }
  {
    const torch::NoGradGuard no_grad;
    for (std::size_t i = 0; i < step.size(); ++i) {
      step[i] = step[i].add(problem.weights[i], problem.weight_decay);
      if (!problem.momentum.empty()) step[i].add_(problem.momentum[i], problem.weight_momentum);
    }
  }
  saved.displace(-xi, step);

  Evaluation val = problem.val_loss();
  std::vector<torch::Tensor> inputs = problem.alphas;
  inputs.insert(inputs.end(), val.op_weights.begin(), val.op_weights.end());
  inputs.insert(inputs.end(), problem.weights.begin(), problem.weights.end());
  std::vector<torch::Tensor> direction = problem.gradients(val, inputs);
  std::vector<torch::Tensor> gradients = take_front(direction, problem.alphas.size());
  std::vector<torch::Tensor> of_op_weights = take_front(direction, val.op_weights.size());

  // The norm stays on the device: a host that branched on it would wait for a GPU.
  std::vector<torch::Tensor> norms;
  for (const torch::Tensor& part : direction) norms.push_back(part.detach().to(torch::kDouble).norm());
  const torch::Tensor norm = torch::stack(norms).norm();
  const torch::Tensor none = torch::zeros_like(norm);
  const torch::Tensor eps = torch::where(norm >= smallest_norm, radius_ / norm, none);
  const torch::Tensor slope = torch::where(norm >= smallest_norm, norm * (xi / (2.0 * radius_)), none);  // xi / (2 eps)
  const StatisticsHeld held(problem.set_statistics_updates);
  saved.displace(eps, direction);
  const std::vector<torch::Tensor> plus = problem.gradients(problem.train_loss(), problem.alphas);
  saved.displace(-eps, direction);
  const std::vector<torch::Tensor> minus = problem.gradients(problem.train_loss(), problem.alphas);
  const torch::NoGradGuard no_grad;
  for (std::size_t i = 0; i < gradients.size(); ++i) gradients[i] = gradients[i] - (plus[i] - minus[i]) * slope;
  return {std::move(gradients), std::move(of_op_weights), std::move(val)};
}

}  // namespace flowdarts
