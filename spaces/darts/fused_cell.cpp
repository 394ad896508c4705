#include <flowdarts/spaces/darts/composed_state.hpp>
#include <flowdarts/spaces/darts/fused_cell.hpp>
#include <flowdarts/spaces/mixed_op/mix.hpp>
#include <flowdarts/spaces/mixed_op/pool.hpp>

namespace flowdarts::darts {
namespace {

torch::Tensor sum_of(const std::vector<MixInput>& inputs) {
  return inputs.size() == 1 ? inputs[0].x : mix(inputs);
}

/// max(x, 0) of all nodes, concatenated: [B, nodes * C, H, W]. CPU.
class RectifiedConcat : public torch::autograd::Function<RectifiedConcat> {
 public:
  static torch::Tensor forward(torch::autograd::AutogradContext* context, torch::TensorList nodes) {
    using namespace mixed_op;
    const auto count = static_cast<std::int64_t>(nodes.size()), channels = nodes[0].size(1);
    std::vector<torch::Tensor> dense;
    for (const torch::Tensor& node : nodes) dense.push_back(channels_last(node.detach()));
    torch::Tensor out =
        empty_channels_last({nodes[0].size(0), count * channels, nodes[0].size(2), nodes[0].size(3)}, nodes[0]);
    with_type(out.scalar_type(), [&]<class T>() {
      const std::vector<Compute<T>> one(static_cast<std::size_t>(channels), Compute<T>(1));
      Parts(pixel_count(out), channels).for_each([&](std::int64_t, PixelRange range) {
        for (std::int64_t n = 0; n < count; ++n) {
          const ScaledTerm<T> node{rows<const T>(dense[static_cast<std::size_t>(n)]), one.data()};
          weighted_sum<T>(std::span(&node, 1), nullptr, {}, {}, range, channels, {}, rows<T>(out, n * channels));
        }
      });
    });
    context->save_for_backward({out});
    context->saved_data["nodes"] = count;
    return out;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    using namespace mixed_op;
    TORCH_CHECK(!torch::GradMode::is_enabled(), "a fused cell: its gradient is not differentiable");
    const torch::Tensor out = context->get_saved_variables()[0], g = channels_last(gradients[0]);
    const std::int64_t count = context->saved_data["nodes"].toInt(), channels = out.size(1) / count;
    torch::autograd::variable_list result;
    for (std::int64_t n = 0; n < count; ++n) {
      result.push_back(empty_channels_last({out.size(0), channels, out.size(2), out.size(3)}, out));
    }
    with_type(out.scalar_type(), [&]<class T>() {
      const std::vector<Compute<T>> one(static_cast<std::size_t>(channels), Compute<T>(1));
      Parts(pixel_count(out), channels).for_each([&](std::int64_t, PixelRange range) {
        for (std::int64_t n = 0; n < count; ++n) {
          const Rows<const T> gate = rows<const T>(out, n * channels);
          gradient<T>(rows<const T>(g, n * channels), gate, gate, one.data(), nullptr, nullptr, range, channels,
                      rows<T>(result[static_cast<std::size_t>(n)]));
        }
      });
    });
    return result;
  }
};

}  // namespace

struct FusedCell::NodeInputs {
  std::vector<MixInput> edges;
  std::vector<MixInput> bypasses;
};

FusedCell::FusedCell(const SupernetSpec& spec, const CellPlace& place) : CandidateCell(spec, place) {
  keep({});
}

void FusedCell::keep(const std::vector<bool>& left) {
  readers_.clear();
  for (int state = 0; state < node_count() + 1; ++state) add_state(state, left);
}

void FusedCell::add_state(int state, const std::vector<bool>& left) {
  auto plan = std::make_shared<StatePlan>();
  Reader reader;
  plan->stride = stride(state);
  for (int node = std::max(0, state - 1); node < node_count(); ++node) {
    const std::size_t e = first_edge(node) + static_cast<std::size_t>(state);
    const std::size_t before = plan->owned.size();
    for (std::size_t column = 0; column < columns(); ++column) {
      const std::shared_ptr<CandidateOp>& op = edge(e).candidate(column);
      const std::size_t place = e * columns() + column;
      if (!op || (!left.empty() && !left[place])) continue;
      plan->owned.push_back(op);
      const auto weight = static_cast<std::int64_t>(place);
      if (const auto* pool = op->as<Pool>()) {
        (pool->op() == Op::max_pool_3x3 ? plan->max_pools : plan->average_pools)
            .push_back({plan->edges, weight, pool->norm()});
      } else if (const auto* skip = op->as<SkipConnect>()) {
        plan->skips.push_back({plan->edges, weight, skip});
      } else if (const auto* reduce = op->as<FactorizedReduce>()) {
        plan->reduces.push_back({plan->edges, weight, reduce});
      } else if (const auto* sep = op->as<SepConv>()) {
        plan->convs.push_back({plan->edges, weight, &sep->first(), &sep->second()});
      } else {
        plan->convs.push_back({plan->edges, weight, &op->as<DilConv>()->conv(), nullptr});
      }
    }
    if (plan->owned.size() == before) continue;
    ++plan->edges;
    reader.nodes.push_back(node);
  }
  reader.plan = std::move(plan);
  readers_.push_back(std::move(reader));
}

torch::Tensor FusedCell::preprocessed(std::size_t input, const torch::Tensor& rectified) const {
  if (const auto* conv = preprocess(input).as<ReluConvBn>()) {
    return mix_norm(conv_1x1(rectified, conv->conv()), conv->norm());
  }
  const auto* reduce = preprocess(input).as<FactorizedReduce>();
  return mix_norm(reduce->convolve(rectified), reduce->norm());
}

void FusedCell::read(int state, const torch::Tensor& x, const torch::Tensor& op_weights, const OutputObserver& observer,
                     std::vector<NodeInputs>& nodes) const {
  const Reader& reader = readers_[static_cast<std::size_t>(state)];
  const std::int64_t own = x.size(1) / partial();
  CandidateObserver show;
  if (observer) {
    show = [&](std::int64_t weight, const torch::Tensor& output) {
      const auto width = static_cast<std::int64_t>(columns());
      observer(kind(), weight / width, weight % width, output);
    };
  }
  const torch::Tensor through = partial() == 1 ? x : mixed_op::channels_last(x.narrow(1, 0, own));
  const auto outputs = is_composed(x) ? compose_state(*reader.plan, through, op_weights, show)
                                      : read_state(reader.plan, through, op_weights, show);
  for (std::size_t e = 0; e < outputs.size(); ++e) {
    nodes[static_cast<std::size_t>(reader.nodes[e])].edges.push_back({outputs[e], nullptr});
  }
  if (partial() == 1) return;
  torch::Tensor bypass = x.narrow(1, own, x.size(1) - own);
  bypass = stride(state) == 2 ? max_pool2d(bypass, {.kernel = 2, .stride = 2, .padding = 0})
                              : mixed_op::channels_last(bypass);
  for (int node = std::max(0, state - 1); node < node_count(); ++node) {
    nodes[static_cast<std::size_t>(node)].bypasses.push_back({bypass, nullptr});
  }
}

torch::Tensor FusedCell::forward(const torch::Tensor& s0, const torch::Tensor& s1, const torch::Tensor& op_weights,
                                 const torch::Tensor& edge_weights, bool rectify, const OutputObserver& observer) {
  // A sum of shuffled terms is the shuffled sum: the weights of edges join those of ops, and nodes are shuffled, not
  // edges.
  const torch::Tensor weights = (edge_weights.defined() ? op_weights * edge_weights : op_weights).flatten();
  std::vector<NodeInputs> nodes(static_cast<std::size_t>(node_count()));
  const torch::Tensor x1 = preprocessed(1, s1);
  read(0, preprocessed(0, s0), weights, observer, nodes);
  read(1, x1, weights, observer, nodes);
  std::vector<torch::Tensor> outputs;
  for (int n = 0; n < node_count(); ++n) {
    const NodeInputs& own = nodes[static_cast<std::size_t>(n)];
    torch::Tensor x;
    if (own.edges.empty()) {
      const std::int64_t step = stride(0);
      x = torch::zeros({x1.size(0), x1.size(1) / partial(), x1.size(2) / step, x1.size(3) / step},
                       x1.options().memory_format(torch::MemoryFormat::ChannelsLast));
    } else {
      x = sum_of(own.edges);
    }
    if (partial() > 1) {
      torch::Tensor bypass;
      if (edge_weights.defined()) {
        bypass = mix(own.bypasses, edge_weights.flatten().narrow(0, static_cast<std::int64_t>(first_edge(n)),
                                                                 static_cast<std::int64_t>(own.bypasses.size())));
      } else {
        bypass = sum_of(own.bypasses);
      }
      x = mixed_op::channels_last(shuffle_channels(torch::cat({x, bypass}, 1), partial()));
    }
    outputs.push_back(x);
    if (n + 1 < node_count()) read(n + input_states, x, weights, observer, nodes);
  }
  if (!rectify) return torch::cat(outputs, 1);
  return is_composed(s1) ? torch::relu(torch::cat(outputs, 1)) : RectifiedConcat::apply(torch::TensorList(outputs));
}

}  // namespace flowdarts::darts
