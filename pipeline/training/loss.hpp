#pragma once

#include <torch/torch.h>

#include <flowdarts/spaces/stand_alone/network.hpp>

namespace flowdarts {

/// Mean cross-entropy with label smoothing (Szegedy et al., CVPR 2016): the target is (1 - smoothing) of the label and
/// smoothing / classes of each class. The auxiliary classifier, where there is one, adds its own, weighted.
inline torch::Tensor training_loss(const StandAloneOutput& output, const torch::Tensor& labels, double smoothing,
                                   double auxiliary_weight) {
  const auto options = torch::nn::functional::CrossEntropyFuncOptions().label_smoothing(smoothing);
  const torch::Tensor loss = torch::nn::functional::cross_entropy(output.logits, labels, options);
  if (!output.auxiliary.defined()) return loss;
  return loss + auxiliary_weight * torch::nn::functional::cross_entropy(output.auxiliary, labels, options);
}

}  // namespace flowdarts
