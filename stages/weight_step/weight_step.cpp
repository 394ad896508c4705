#include <flowdarts/stages/weight_step/weight_step.hpp>

namespace flowdarts {

torch::Tensor pack_results(const torch::Tensor& loss, const torch::Tensor& logits, const torch::Tensor& labels) {
  const torch::NoGradGuard no_grad;
  const torch::Tensor scores = logits.detach().to(torch::kFloat);
  torch::Tensor difference = torch::softmax(scores, 1);
  difference.scatter_add_(1, labels.unsqueeze(1), torch::full({labels.size(0), 1}, -1.0, difference.options()));
  const torch::Tensor errors = at::linalg_vector_norm(difference, 2, at::IntArrayRef{1});
  const torch::Tensor correct = (scores.argmax(1) == labels).sum().to(torch::kFloat);
  return torch::cat({loss.detach().to(torch::kFloat).reshape(1), correct.reshape(1), errors});
}

WeightStep::WeightStep(Supernet& supernet, const WeightOptions& options)
    : supernet_(supernet), sgd_(supernet.parameters(), options) {}

void WeightStep::operator()(const DeviceBatch& batch, const std::vector<torch::Tensor>& op_weights, double lr,
                            const std::function<void(const torch::Tensor&)>& inspect) {
  std::vector<torch::Tensor> constant_weights;
  for (const torch::Tensor& weights : op_weights) constant_weights.push_back(weights.detach());
  supernet_.train();
  const torch::Tensor logits = supernet_.forward(batch.images, constant_weights);
  const torch::Tensor loss = torch::nn::functional::cross_entropy(logits, batch.labels);
  inspect(pack_results(loss, logits, batch.labels));
  // An op that no path reaches has no gradient: it moves by its momentum and decay alone, as in PyTorch with zero
  // gradients.
  sgd_.step(torch::autograd::grad({loss}, sgd_.weights(), {}, /*retain_graph=*/false, /*create_graph=*/false,
                                  /*allow_unused=*/true),
            lr);
}

}  // namespace flowdarts
