#include <flowdarts/pipeline/tensor_state.hpp>
#include <flowdarts/pipeline/training/weight_average.hpp>

#include <vector>

namespace flowdarts {
namespace {

std::vector<torch::Tensor> values(const StandAloneNetwork& network) {
  std::vector<torch::Tensor> tensors = network.module().parameters();
  for (const torch::Tensor& buffer : network.module().buffers()) tensors.push_back(buffer);
  return tensors;
}

}  // namespace

WeightAverage::WeightAverage(const StandAlone& description, const StandAloneNetwork& network, double decay)
    : average_(description), decay_(decay) {
  const torch::NoGradGuard no_grad;
  const std::vector<torch::Tensor> from = values(network);
  average_.module().to(from.front().device());
  to_channels_last(average_.module());
  at::_foreach_copy_(values(average_), from);
}

void WeightAverage::update(const StandAloneNetwork& network) {
  const torch::NoGradGuard no_grad;
  at::_foreach_lerp_(values(average_), values(network), 1.0 - decay_);
}

}  // namespace flowdarts
