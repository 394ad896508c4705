#include <algorithm>
#include <flowdarts/spaces/darts/composed_state.hpp>
#include <flowdarts/spaces/mixed_op/depthwise.hpp>
#include <flowdarts/spaces/mixed_op/mix.hpp>
#include <flowdarts/spaces/mixed_op/pool.hpp>
#include <flowdarts/spaces/mixed_op/weights_at.hpp>
#include <utility>

namespace flowdarts::darts {
namespace {

using torch::Tensor;

/// A candidate: what its batch norm, if it has one, reads.
struct Term {
  std::int64_t weight;  // its place
  MixInput input;
};

/// What the batch norm of a separable convolution reads.
Tensor separable(const SeparableConv& op, const Tensor& x, bool relu_input) {
  const Tensor& weight = op.depthwise().weight;
  return conv_1x1(depthwise_conv2d(x, weight,
                                   {.stride = op.stride(),
                                    .padding = op.dilation() * (weight.size(2) / 2),
                                    .dilation = op.dilation(),
                                    .relu_input = relu_input}),
                  op.pointwise());
}

}  // namespace

std::vector<Tensor> compose_state(const StatePlan& plan, const Tensor& x, const Tensor& op_weights,
                                  const CandidateObserver& observer) {
  std::vector<std::vector<Term>> edges(plan.edges);
  const auto add = [&](std::size_t edge, std::int64_t weight, Tensor y, const BatchNorm* norm) {
    if (observer) {
      // Normalised here, so that a pass moves the running statistics once.
      if (norm != nullptr) y = mix_norm(y, *std::exchange(norm, nullptr));
      const Tensor shown = y.detach();
      observer(weight, shown.scalar_type() == torch::kBFloat16 ? shown.to(torch::kFloat) : shown);
    }
    edges[edge].push_back({weight, {std::move(y), norm}});
  };
  const auto add_pools = [&](const std::vector<StatePlan::Pooled>& pools, const auto& pool) {
    if (pools.empty()) return;
    const Tensor pooled = pool(x, {.stride = plan.stride});
    for (const StatePlan::Pooled& own : pools) add(own.edge, own.weight, pooled, own.norm);
  };
  add_pools(plan.max_pools, max_pool2d);
  add_pools(plan.average_pools, average_pool2d);
  for (const StatePlan::Skip& skip : plan.skips) {
    const Tensor mask = skip.op->mask(x);
    add(skip.edge, skip.weight, mask.defined() ? x * mask : x, nullptr);
  }
  if (!plan.reduces.empty()) {
    const Tensor rectified = torch::relu(x);
    for (const StatePlan::Reduce& reduce : plan.reduces) {
      add(reduce.edge, reduce.weight, reduce.op->convolve(rectified), &reduce.op->norm());
    }
  }
  for (const StatePlan::Conv& conv : plan.convs) {
    Tensor y = separable(*conv.first, x, /*relu_input=*/true);
    const BatchNorm* norm = &conv.first->norm();
    if (conv.second != nullptr) {
      y = separable(*conv.second, mix_norm(y, *norm, /*relu=*/true), /*relu_input=*/false);
      norm = &conv.second->norm();
    }
    add(conv.edge, conv.weight, y, norm);
  }
  std::vector<Tensor> outputs;
  for (std::vector<Term>& terms : edges) {
    std::ranges::sort(terms, {}, &Term::weight);
    std::vector<MixInput> inputs;
    std::vector<std::int64_t> places;
    for (Term& term : terms) {
      inputs.push_back(std::move(term.input));
      places.push_back(term.weight);
    }
    outputs.push_back(mix(inputs, mixed_op::weights_at(op_weights, places)));
  }
  return outputs;
}

}  // namespace flowdarts::darts
