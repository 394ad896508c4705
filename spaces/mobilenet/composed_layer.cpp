#include <cmath>
#include <flowdarts/spaces/mixed_op/depthwise.hpp>
#include <flowdarts/spaces/mixed_op/mix.hpp>
#include <flowdarts/spaces/mixed_op/weights_at.hpp>
#include <flowdarts/spaces/mobilenet/composed_layer.hpp>
#include <vector>

namespace flowdarts::mobilenet {

using torch::Tensor;

Tensor compose_norm_clamp(const Tensor& x, const Norm& norm, mixed_op::Clamp clamp) {
  TORCH_CHECK(!norm.uses_batch_statistics() || norm.rank_sum() || x.numel() > x.size(1),
              "batch norm: expected more than one value a channel while training, found 1");
  const Tensor y = mix_norm(x, norm);
  const bool clamps = !std::isinf(clamp.low) || !std::isinf(clamp.high);
  return clamps ? torch::hardtanh(y, clamp.low, clamp.high) : y;
}

Tensor compose_layer(std::span<const WeighedMbConv> ops, const Tensor& x, const Tensor& op_weights, bool shortcut) {
  const auto pointwise = [&](const Tensor& values, const Tensor& weight) {
    return at::conv2d(values, weight.to(x.scalar_type()));
  };
  const Tensor dense = mixed_op::channels_last(x);
  std::vector<MixInput> inputs;
  std::vector<std::int64_t> places;
  for (const auto& [op, place] : ops) {
    const Tensor expanded =
        compose_norm_clamp(pointwise(dense, op->expand_weight()), op->expand_norm(), mixed_op::relu6);
    const std::int64_t kernel = op->depthwise_weight().size(2);
    const Tensor filtered = compose_norm_clamp(
        depthwise_conv2d(expanded, op->depthwise_weight(), {.stride = op->stride(), .padding = kernel / 2}),
        op->depthwise_norm(), mixed_op::relu6);
    inputs.push_back({pointwise(filtered, op->project_weight()), &op->project_norm()});
    places.push_back(place);
  }
  Tensor weights = mixed_op::weights_at(op_weights, places);
  if (shortcut) {
    inputs.push_back({dense});
    weights = torch::cat({weights, torch::ones({1}, weights.options())});
  }
  return mix(inputs, weights);
}

}  // namespace flowdarts::mobilenet
