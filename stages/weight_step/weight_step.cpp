#include <flowdarts/stages/weight_step/weight_step.hpp>

namespace flowdarts {

torch::Tensor pack_results(const torch::Tensor& loss, const torch::Tensor& logits, const torch::Tensor& labels) {
  const torch::NoGradGuard no_grad;
  const torch::Tensor scores = logits.detach().to(torch::kFloat);
  // Without a scatter, whose form on a GPU is not deterministic.
  const torch::Tensor is_label = labels.unsqueeze(1) == torch::arange(logits.size(1), labels.options());
  const torch::Tensor difference = torch::softmax(scores, 1) - is_label.to(torch::kFloat);
  const torch::Tensor errors = at::linalg_vector_norm(difference, 2, at::IntArrayRef{1});
  const torch::Tensor correct = (scores.argmax(1) == labels).sum().to(torch::kFloat);
  return torch::cat({loss.detach().to(torch::kFloat).reshape(1), correct.reshape(1), errors});
}

WeightStep::WeightStep(Supernet& supernet, const WeightOptions& options, const GradientSum* sum)
    : supernet_(supernet),
      sum_(sum),
      sgd_(supernet.parameters(), options),
      // What the ranks exchange is no part of a recorded step.
      graphs_(sum == nullptr ? recorders_for(sgd_.weights()) : Recorders{}) {}

void WeightStep::operator()(const DeviceBatch& batch, const std::vector<torch::Tensor>& op_weights, double lr,
                            const Inspect& inspect) {
  sgd_.set_lr(lr);
  std::vector<torch::Tensor> inputs{batch.images, batch.labels};
  for (const torch::Tensor& weights : op_weights) inputs.push_back(weights.detach());
  const auto step = [&](const StepGraphs::Tensors& in, const Inspect& see) {
    run({in[0], in[1], batch.share}, {in.begin() + 2, in.end()}, see);
  };
  if (!graphs_.available() || !supernet_.recordable() || !sgd_.recordable()) return step(inputs, inspect);
  inspect(graphs_.run(inputs, [&](const StepGraphs::Tensors& in) {
    StepGraphs::Tensors results;
    step(in, [&](const torch::Tensor& packed) { results.push_back(packed); });
    return results;
  })[0]);
}

void WeightStep::run(const DeviceBatch& batch, const std::vector<torch::Tensor>& op_weights, const Inspect& inspect) {
  supernet_.train();
  const torch::Tensor logits = supernet_.forward(batch.images, op_weights);
  const torch::Tensor loss = torch::nn::functional::cross_entropy(logits, batch.labels);
  inspect(pack_results(loss, logits, batch.labels));
  if (sum_ != nullptr) return sgd_.step((*sum_)(loss, sgd_.weights(), batch.share));
  // An op that no path reaches has no gradient: it moves by its momentum and decay alone, as in PyTorch with zero
  // gradients.
  sgd_.step(torch::autograd::grad({loss}, sgd_.weights(), {}, /*retain_graph=*/false, /*create_graph=*/false,
                                  /*allow_unused=*/true));
}

}  // namespace flowdarts
