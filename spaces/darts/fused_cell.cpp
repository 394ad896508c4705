#include <flowdarts/spaces/darts/fused_cell.hpp>
#include <flowdarts/spaces/mixed_op/mix.hpp>
#include <flowdarts/spaces/mixed_op/pool.hpp>
#include <flowdarts/spaces/mixed_op/separable.hpp>

namespace flowdarts::darts {
namespace {

torch::Tensor pointwise(const torch::Tensor& x, const torch::nn::Conv2dImpl& conv) {
  const torch::Tensor bias = conv.bias.defined() ? conv.bias.to(x.scalar_type()) : torch::Tensor();
  return at::conv2d(x, conv.weight.to(x.scalar_type()), bias);
}

/// What a factorised reduction reads: rectified, every second pixel, from the first and from the second on.
struct Halves {
  torch::Tensor even, odd;

  explicit Halves(const torch::Tensor& rectified)
      : even(mixed_op::channels_last(rectified.slice(2, 0, {}, 2).slice(3, 0, {}, 2))),
        odd(mixed_op::channels_last(rectified.slice(2, 1, {}, 2).slice(3, 1, {}, 2))) {}
};

/// Without its batch norm.
torch::Tensor reduced(const Halves& x, const FactorizedReduce& op) {
  return torch::cat({pointwise(x.even, op.conv1()), pointwise(x.odd, op.conv2())}, 1);
}

SeparableBranch branch_of(const SeparableConv& conv) {
  return {.depthwise = conv.depthwise().weight,
          .pointwise = conv.pointwise().weight,
          .bias = conv.pointwise().bias,
          .stride = conv.stride(),
          .dilation = conv.dilation()};
}

}  // namespace

/// What is added up in a node.
struct FusedCell::NodeInputs {
  std::vector<MixInput> terms;
  std::vector<std::int64_t> positions;  // of their weights in the matrix
  std::vector<MixInput> bypasses;       // of partial channels, one an edge
};

torch::Tensor FusedCell::preprocessed(std::size_t input, const torch::Tensor& x) const {
  const torch::Tensor rectified = torch::relu(mixed_op::channels_last(x));
  if (const auto* conv = preprocess(input).as<ReluConvBn>())
    return mix_norm(pointwise(rectified, conv->conv()), conv->norm());
  const auto* op = preprocess(input).as<FactorizedReduce>();
  return mix_norm(reduced(Halves(rectified), *op), op->norm());
}

void FusedCell::read_state(int state, const torch::Tensor& whole, std::vector<NodeInputs>& nodes) const {
  const std::int64_t step = stride(state);
  const std::int64_t own = whole.size(1) / partial();
  const torch::Tensor x = partial() == 1 ? whole : mixed_op::channels_last(whole.narrow(1, 0, own));
  torch::Tensor max_pooled, average_pooled, bypass;
  std::optional<Halves> halves;
  if (partial() > 1) {
    bypass = whole.narrow(1, own, whole.size(1) - own);
    bypass = step == 2 ? max_pool2d(bypass, {.kernel = 2, .stride = 2, .padding = 0}) : mixed_op::channels_last(bypass);
  }
  // The separable convolutions that read this state, and where their outputs go.
  struct Reader {
    std::size_t node, edge;
    Op op;
    const BatchNorm* norm;
    const SeparableConv* second;  // of a sep_conv
  };
  std::vector<SeparableBranch> branches;
  std::vector<Reader> readers;
  const auto add = [&](std::size_t node, std::size_t e, Op op, const torch::Tensor& y, const BatchNorm* norm) {
    const std::size_t column = op == Op::none ? 0 : static_cast<std::size_t>(op) - (candidate_count - columns());
    nodes[node].terms.push_back({y, norm});
    nodes[node].positions.push_back(static_cast<std::int64_t>(e * columns() + column));
  };
  for (int n = std::max(0, state - 1); n < node_count(); ++n) {
    const auto node = static_cast<std::size_t>(n);
    const std::size_t e = first_edge(n) + static_cast<std::size_t>(state);
    if (bypass.defined()) nodes[node].bypasses.push_back({bypass, nullptr});
    if (const auto* pool = candidate<Pool>(e, Op::max_pool_3x3)) {
      if (!max_pooled.defined()) max_pooled = max_pool2d(x, {.kernel = 3, .stride = step, .padding = 1});
      add(node, e, Op::max_pool_3x3, max_pooled, pool->norm());
    }
    if (const auto* pool = candidate<Pool>(e, Op::avg_pool_3x3)) {
      if (!average_pooled.defined()) average_pooled = average_pool2d(x, {.kernel = 3, .stride = step, .padding = 1});
      add(node, e, Op::avg_pool_3x3, average_pooled, pool->norm());
    }
    if (auto* skip = candidate<SkipConnect>(e, Op::skip_connect)) {
      add(node, e, Op::skip_connect, skip->forward(x), nullptr);
    } else if (const auto* reduce = candidate<FactorizedReduce>(e, Op::skip_connect)) {
      if (!halves) halves.emplace(torch::relu(x));
      add(node, e, Op::skip_connect, reduced(*halves, *reduce), &reduce->norm());
    }
    for (const Op op : {Op::sep_conv_3x3, Op::sep_conv_5x5}) {
      const auto* conv = candidate<SepConv>(e, op);
      if (conv == nullptr) continue;
      branches.push_back(branch_of(conv->first()));
      readers.push_back({node, e, op, &conv->first().norm(), &conv->second()});
    }
    for (const Op op : {Op::dil_conv_3x3, Op::dil_conv_5x5}) {
      const auto* conv = candidate<DilConv>(e, op);
      if (conv == nullptr) continue;
      branches.push_back(branch_of(conv->conv()));
      readers.push_back({node, e, op, &conv->conv().norm(), nullptr});
    }
  }
  const std::vector<torch::Tensor> outputs = separable_conv2d(x, branches, /*relu_input=*/true);
  for (std::size_t r = 0; r < readers.size(); ++r) {
    const Reader& reader = readers[r];
    if (reader.second == nullptr) {
      add(reader.node, reader.edge, reader.op, outputs[r], reader.norm);
      continue;
    }
    const torch::Tensor rectified = mix_norm(outputs[r], *reader.norm, /*relu=*/true);
    const SeparableBranch second = branch_of(*reader.second);
    add(reader.node, reader.edge, reader.op,
        separable_conv2d(rectified, std::span(&second, 1), /*relu_input=*/false)[0], &reader.second->norm());
  }
}

torch::Tensor FusedCell::forward(const torch::Tensor& s0, const torch::Tensor& s1, const torch::Tensor& op_weights,
                                 const torch::Tensor& edge_weights) {
  TORCH_CHECK(s1.device().is_cpu(), "a fused cell runs on a CPU, found its input on ", s1.device());
  // Shuffled sums are sums of what is shuffled: the weights of edges join those of ops, and nodes are shuffled, not
  // edges.
  const torch::Tensor weights = (edge_weights.defined() ? op_weights * edge_weights : op_weights).flatten();
  std::vector<NodeInputs> nodes(static_cast<std::size_t>(node_count()));
  const torch::Tensor x1 = preprocessed(1, s1);
  read_state(0, preprocessed(0, s0), nodes);
  read_state(1, x1, nodes);
  const std::int64_t halve = stride(0);
  std::vector<torch::Tensor> outputs;
  for (int n = 0; n < node_count(); ++n) {
    const NodeInputs& own = nodes[static_cast<std::size_t>(n)];
    torch::Tensor x;
    if (own.terms.empty()) {
      x = torch::zeros({x1.size(0), x1.size(1) / partial(), x1.size(2) / halve, x1.size(3) / halve},
                       x1.options().memory_format(torch::MemoryFormat::ChannelsLast));
    } else {
      x = mix(own.terms, weights.index_select(0, torch::tensor(own.positions)));
    }
    if (partial() > 1) {
      const auto first = static_cast<std::int64_t>(first_edge(n));
      const torch::Tensor bypass = mix(
          own.bypasses, edge_weights.defined()
                            ? edge_weights.flatten().narrow(0, first, static_cast<std::int64_t>(own.bypasses.size()))
                            : torch::Tensor());
      x = mixed_op::channels_last(shuffle_channels(torch::cat({x, bypass}, 1), partial()));
    }
    outputs.push_back(x);
    if (n + 1 < node_count()) read_state(n + input_states, x, nodes);
  }
  return torch::cat(outputs, 1);
}

}  // namespace flowdarts::darts
