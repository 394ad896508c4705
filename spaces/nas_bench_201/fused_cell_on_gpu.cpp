#include <flowdarts/spaces/mixed_op/device_rows.hpp>
#include <flowdarts/spaces/mixed_op/mix_on_gpu.hpp>
#include <flowdarts/spaces/mixed_op/node_gradient_cuda.hpp>
#include <flowdarts/spaces/mixed_op/pool_on_gpu.hpp>
#include <flowdarts/spaces/nas_bench_201/fused_cell_on_gpu.hpp>

namespace flowdarts::nas_bench_201 {
namespace {

using mixed_op::DeviceStream;
using mixed_op::Rows;
using mixed_op::TermNorm;
using torch::Tensor;
using torch::autograd::variable_list;

/// What the backward pass needs of a node that others read.
struct NodeState {
  Tensor x, rectified, pooled;
  std::array<Tensor, kernels.size()> weights, outputs;  // stacked
};

/// A term of a node's mix: where it comes from.
struct NodeTerm {
  std::size_t edge;
  int op;
  const StackedConv* conv = nullptr;  // null: a skip or a pool
  std::size_t stack = 0;              // of a convolution
  TermNorm norm = TermNorm::none;     // in this pass

  [[nodiscard]] std::size_t from() const { return cell_edges[edge].from; }
  [[nodiscard]] std::int32_t place() const { return static_cast<std::int32_t>(edge) * column::count + op; }
};

struct CellState : torch::CustomClassHolder {
  std::shared_ptr<const CellPlan> plan;
  std::vector<ConvPlaces> places;  // of the convolutions, in for_each_conv's order
  std::size_t variable_count = 0;
  bool wide = false;  // the batch norms' tensors are of double, else of float
  std::array<NodeState, source_nodes> nodes;
  std::array<std::vector<NodeTerm>, cell_nodes> terms;  // of each node's mix
  std::array<Tensor, cell_nodes> statistics;            // [terms, 2, channels] double: what the mixes normalised with
  std::shared_ptr<const RankSum> sum;                   // over the processes that share the batch; null: it is here
  std::array<Tensor, cell_nodes> moments;               // what these exchanged of each mix

  [[nodiscard]] Tensor input(const NodeTerm& term) const {
    const NodeState& node = nodes[term.from()];
    if (term.conv != nullptr) return slice(node.outputs[term.stack], *term.conv);
    return term.op == column::avg_pool_3x3 ? node.pooled : node.x;
  }

  /// The channels of one of the stacked convolutions.
  [[nodiscard]] Tensor slice(const Tensor& stacked, const StackedConv& conv) const {
    return stacked.narrow(1, conv.slot * plan->channels, plan->channels);
  }
};

mixed_op::PoolGeometry geometry_of(const Tensor& x) {
  return {.height = x.size(2), .width = x.size(3)};
}

/// The variable at a place, or an undefined tensor.
Tensor at_place(torch::TensorList tensors, std::size_t place) {
  return place == mixed_op::Variables::none ? Tensor() : tensors[place];
}

Tensor stacked(const std::vector<Tensor>& parts, at::ScalarType dtype) {
  if (parts.empty()) return {};
  return (parts.size() == 1 ? parts[0].detach() : torch::cat(parts)).to(dtype);
}

template <class T>
Rows<T> optional_rows(const Tensor& x) {
  return x.defined() ? mixed_op::device_rows<T>(x) : Rows<T>();
}

class CellForward {
 public:
  CellForward(CellState& state, torch::TensorList variables) : state_(state), variables_(variables) {}

  Tensor run() {
    const Tensor x = mixed_op::channels_last(variables_[0].detach());
    const DeviceStream stream(x);
    state_.nodes[0].x = x;
    if (state_.plan->sources[0].has_convs()) state_.nodes[0].rectified = at::relu(x);
    run_readers(0);
    for (std::size_t j = 1; j < source_nodes; ++j) {
      NodeState& node = state_.nodes[j];
      node.x = mixed_op::empty_channels_last(x);
      if (state_.plan->sources[j].has_convs()) node.rectified = mixed_op::empty_channels_last(x);
      write_mix(j, node.x, node.rectified, stream);
      run_readers(j);
    }
    const Tensor out = mixed_op::empty_channels_last(x);
    write_mix(cell_nodes - 1, out, {}, stream);
    return out;
  }

 private:
  /// Writes the mix of node j and, where that is defined, its rectified form.
  void write_mix(std::size_t j, const Tensor& out, const Tensor& rectified, const DeviceStream& stream) {
    const std::vector<NodeTerm>& terms = state_.terms[j];
    if (terms.empty()) {
      out.zero_();
      if (rectified.defined()) rectified.zero_();
      return;
    }
    const std::int64_t channels = out.size(1), pixels = mixed_op::pixel_count(out);
    const auto count = static_cast<int>(terms.size());
    state_.statistics[j] = torch::empty({count, 2, channels}, out.options().dtype(torch::kDouble));
    mixed_op::with_type(out.scalar_type(), [&]<class T>() {
      mixed_op::MixForward<T> mix;
      for (int t = 0; t < count; ++t) {
        const NodeTerm& term = terms[t];
        mix.terms[t] = {
            .x = mixed_op::device_rows<const T>(state_.input(term)), .norm = term.norm, .place = term.place()};
        if (term.conv == nullptr) continue;
        const ConvPlaces& places = state_.places[term.conv->position];
        mix.terms[t].gamma = mixed_op::device_data(at_place(variables_, places.gamma));
        mix.terms[t].beta = mixed_op::device_data(at_place(variables_, places.beta));
        mix.terms[t].running_mean = mixed_op::device_data(term.conv->op->norm().running_mean());
        mix.terms[t].running_var = mixed_op::device_data(term.conv->op->norm().running_var());
      }
      mix.count = count;
      mix.wide = state_.wide;
      mix.pixels = pixels;
      mix.channels = channels;
      mix.weights = mixed_op::device_values(variables_[1]);
      mix.out = mixed_op::device_rows<T>(out);
      mix.rectified = optional_rows<T>(rectified);
      mix.statistics = state_.statistics[j].mutable_data_ptr<double>();
      mix.eps = BatchNormOptions().eps;
      mix.momentum = BatchNorm::momentum;
      state_.moments[j] = mixed_op::run_forward(mix, state_.sum.get(), out, stream);
    });
  }

  /// Runs what reads node i and adds it to the terms of later nodes.
  void run_readers(std::size_t i) {
    NodeState& node = state_.nodes[i];
    const SourcePlan& plan = state_.plan->sources[i];
    const at::ScalarType type = node.x.scalar_type();
    for (std::size_t s = 0; s < kernels.size(); ++s) {
      if (plan.stacks[s].empty()) continue;
      std::vector<Tensor> weights, biases;
      for (const StackedConv& conv : plan.stacks[s]) {
        const ConvPlaces& places = state_.places[conv.position];
        weights.push_back(variables_[places.weight]);
        if (places.bias != mixed_op::Variables::none) biases.push_back(variables_[places.bias]);
        state_.terms[cell_edges[conv.edge].to].push_back({.edge = conv.edge,
                                                          .op = column_of_kernel(kernels[s]),
                                                          .conv = &conv,
                                                          .stack = s,
                                                          .norm = mixed_op::norm_of(&conv.op->norm())});
      }
      node.weights[s] = stacked(weights, type);
      node.outputs[s] = mixed_op::channels_last(
          at::conv2d(node.rectified, node.weights[s], stacked(biases, type), 1, kernels[s] / 2));
    }
    if (!plan.pools.empty()) node.pooled = mixed_op::average_pool_on_gpu(node.x, geometry_of(node.x));
    for (const std::size_t edge : plan.skips) {
      state_.terms[cell_edges[edge].to].push_back({.edge = edge, .op = column::skip_connect});
    }
    for (const std::size_t edge : plan.pools) {
      state_.terms[cell_edges[edge].to].push_back({.edge = edge, .op = column::avg_pool_3x3});
    }
  }

  CellState& state_;
  torch::TensorList variables_;
};

class CellBackward {
 public:
  CellBackward(const torch::autograd::AutogradContext& context, const CellState& state, const variable_list& variables)
      : state_(state),
        variables_(variables),
        // The variables, and the argument of forward() that is none.
        result_(state.variable_count + 1),
        input_needs_(context.needs_input_grad(0)),
        alphas_need_(context.needs_input_grad(1)) {
    // Weights, biases, gammas and betas are asked for all or none.
    for (std::size_t v = 2; v < state.variable_count; ++v) weights_need_ |= context.needs_input_grad(v);
  }

  variable_list run(const Tensor& output) {
    const DeviceStream stream(output);
    // Zero where no term writes: of `none` and of ops that are not present.
    if (alphas_need_) result_[1] = torch::zeros_like(variables_[1]);
    gradients_[cell_nodes - 1] = mixed_op::channels_last(output);
    for (std::size_t i = source_nodes; i-- > 0;) {
      mix_backward(i + 1, stream);
      node_backward(i, stream);
    }
    result_[0] = gradients_[0];
    return std::move(result_);
  }

 private:
  [[nodiscard]] bool node_needs(std::size_t i) const { return i > 0 || input_needs_; }

  /// Node j's mix: dL/d(op weights), dL/dgamma, dL/dbeta and the gradients of its convolutions' outputs, written to
  /// their places in the stacks.
  void mix_backward(std::size_t j, const DeviceStream& stream) {
    const std::vector<NodeTerm>& terms = state_.terms[j];
    if (terms.empty()) return;
    const Tensor& g = gradients_[j];
    const std::int64_t channels = g.size(1), pixels = mixed_op::pixel_count(g);
    const auto count = static_cast<int>(terms.size());
    mixed_op::with_type(g.scalar_type(), [&]<class T>() {
      mixed_op::MixBackward<T> mix;
      for (int t = 0; t < count; ++t) {
        const NodeTerm& term = terms[t];
        mix.terms[t] = {
            .x = mixed_op::device_rows<const T>(state_.input(term)), .norm = term.norm, .place = term.place()};
        if (term.conv == nullptr) continue;
        const ConvPlaces& places = state_.places[term.conv->position];
        mix.terms[t].gamma = mixed_op::device_data(at_place(variables_, places.gamma));
        mix.terms[t].beta = mixed_op::device_data(at_place(variables_, places.beta));
        if (weights_need_) {
          mix.terms[t].dgamma = gradient_of(places.gamma);
          mix.terms[t].dbeta = gradient_of(places.beta);
        }
        if (!weights_need_ && !node_needs(term.from())) continue;
        Tensor& all = output_gradients_[term.from()][term.stack];
        if (!all.defined()) all = mixed_op::empty_channels_last(state_.nodes[term.from()].outputs[term.stack]);
        mix.terms[t].dx = mixed_op::device_rows<T>(state_.slice(all, *term.conv));
      }
      mix.count = count;
      mix.wide = state_.wide;
      mix.pixels = pixels;
      mix.channels = channels;
      mix.weights = mixed_op::device_values(variables_[1]);
      mix.dweights = mixed_op::device_values(result_[1]);
      mix.g = mixed_op::device_rows<const T>(g);
      mix.statistics = state_.statistics[j].const_data_ptr<double>();
      mixed_op::run_backward(mix, state_.sum.get(), state_.moments[j], g, stream);
    });
  }

  /// The memory for the gradient of a gamma or beta, or null.
  void* gradient_of(std::size_t place) {
    if (place == mixed_op::Variables::none) return nullptr;
    result_[place] = torch::empty_like(variables_[place]);
    return result_[place].mutable_data_ptr();
  }

  /// The convolutions that read node i, and the gradient of node i itself.
  void node_backward(std::size_t i, const DeviceStream& stream) {
    if (!node_needs(i) && !weights_need_) return;
    const NodeState& node = state_.nodes[i];
    const SourcePlan& readers = state_.plan->sources[i];
    std::vector<Tensor> input_gradients;
    for (std::size_t s = 0; s < kernels.size(); ++s) {
      if (readers.stacks[s].empty()) continue;
      const bool bias = weights_need_ && readers.stacks[s][0].op->conv().bias.defined();
      const std::vector<std::int64_t> bias_sizes{node.weights[s].size(0)};
      auto [dx, dw, db] = at::convolution_backward(
          output_gradients_[i][s], node.rectified, node.weights[s], at::OptionalIntArrayRef(bias_sizes), {1, 1},
          {kernels[s] / 2, kernels[s] / 2}, {1, 1}, false, {0, 0}, 1, {node_needs(i), weights_need_, bias});
      if (node_needs(i)) input_gradients.push_back(mixed_op::channels_last(dx));
      if (weights_need_) hand_out(readers.stacks[s], &ConvPlaces::weight, dw);
      if (bias) hand_out(readers.stacks[s], &ConvPlaces::bias, db);
    }
    if (node_needs(i)) {
      gradients_[i] = mixed_op::empty_channels_last(node.x);
      mixed_op::with_type(node.x.scalar_type(), [&]<class T>() { write_gradient<T>(i, input_gradients, stream); });
    }
  }

  /// Gives each of the stacked convolutions its part of a gradient.
  void hand_out(const std::vector<StackedConv>& stack, std::size_t ConvPlaces::*place, const Tensor& gradient) {
    const std::int64_t channels = state_.plan->channels;
    // To the parameters' precision at once, not one by one behind the cell.
    const Tensor all = gradient.to(variables_[state_.places[stack[0].position].*place].scalar_type());
    for (const StackedConv& conv : stack) {
      result_[state_.places[conv.position].*place] = all.narrow(0, conv.slot * channels, channels);
    }
  }

  template <class T>
  void write_gradient(std::size_t i, const std::vector<Tensor>& input_gradients, const DeviceStream& stream) {
    const Tensor& x = state_.nodes[i].x;
    mixed_op::NodeGradient<T> node;
    for (std::size_t j = i + 1; j < cell_nodes; ++j) {
      for (const NodeTerm& term : state_.terms[j]) {
        if (term.from() != i || term.conv != nullptr) continue;
        const typename mixed_op::NodeGradient<T>::Reader reader{mixed_op::device_rows<const T>(gradients_[j]),
                                                                term.place()};
        if (term.op == column::avg_pool_3x3) {
          node.pooled[node.pooled_count++] = reader;
        } else {
          node.direct[node.direct_count++] = reader;
        }
      }
    }
    for (const Tensor& gradient : input_gradients) {
      node.gated[node.gated_count++] = mixed_op::device_rows<const T>(gradient);
    }
    if (node.gated_count > 0) node.gate = mixed_op::device_rows<const T>(state_.nodes[i].rectified);
    node.weights = mixed_op::device_values(variables_[1]);
    node.pool = mixed_op::device_pool(x, geometry_of(x));
    node.dx = mixed_op::device_rows<T>(gradients_[i]);
    stream.check(mixed_op::node_gradient_cuda(node, stream.handle()));
  }

  const CellState& state_;
  const variable_list& variables_;
  variable_list result_;
  bool input_needs_, alphas_need_, weights_need_ = false;
  std::array<Tensor, cell_nodes> gradients_;                                       // of the nodes
  std::array<std::array<Tensor, kernels.size()>, source_nodes> output_gradients_;  // of the stacks' outputs
};

class CellOnGpu : public torch::autograd::Function<CellOnGpu> {
 public:
  static Tensor forward(torch::autograd::AutogradContext* context, torch::TensorList variables,
                        const c10::intrusive_ptr<CellState>& state) {
    Tensor out = CellForward(*state, variables).run();
    context->save_for_backward(variables.vec());
    context->saved_data["state"] = torch::IValue::make_capsule(state);
    return out;
  }

  static variable_list backward(torch::autograd::AutogradContext* context, variable_list outputs) {
    TORCH_CHECK(!torch::GradMode::is_enabled(), "a fused cell: its gradient is not differentiable");
    const variable_list variables = context->get_saved_variables();
    const auto state = c10::static_intrusive_pointer_cast<CellState>(context->saved_data["state"].toCapsule());
    return CellBackward(*context, *state, variables).run(outputs[0]);
  }
};

}  // namespace

Tensor fused_cell_on_gpu(torch::TensorList variables, const std::shared_ptr<const CellPlan>& plan,
                         const std::vector<ConvPlaces>& places) {
  const Tensor& x = variables[0];
  TORCH_CHECK(x.dim() == 4 && x.size(1) == plan->channels && x.numel() > 0,
              "a fused cell on a GPU: expected images of ", plan->channels, " channels, found ", x.sizes());
  auto state = c10::make_intrusive<CellState>();
  state->plan = plan;
  state->places = places;
  state->variable_count = variables.size();
  std::optional<at::ScalarType> type;
  for_each_conv(*plan, [&](const StackedConv& conv) {
    const BatchNorm& norm = conv.op->norm();
    state->sum = norm.rank_sum();  // all of a supernet share their statistics, or none
    for (const Tensor& tensor : {norm.weight(), norm.bias(), norm.running_mean(), norm.running_var()}) {
      if (!tensor.defined()) continue;
      if (!type) type = tensor.scalar_type();
      TORCH_CHECK(tensor.device() == x.device() && tensor.scalar_type() == *type && tensor.is_contiguous() &&
                      (type == torch::kFloat || type == torch::kDouble),
                  "the batch norms of a fused cell have contiguous tensors of one type, Float or Double, on ",
                  x.device(), ", found ", tensor.scalar_type(), " on ", tensor.device());
    }
  });
  state->wide = type == torch::kDouble;
  std::vector<Tensor> arranged = variables.vec();
  Tensor& op_weights = arranged[1];
  TORCH_CHECK(op_weights.device() == x.device(), "the op weights of a fused cell lie with its input, found ",
              op_weights.device(), " and ", x.device());
  if (op_weights.scalar_type() != torch::kDouble) op_weights = op_weights.to(torch::kFloat);
  op_weights = op_weights.contiguous();
  return CellOnGpu::apply(torch::TensorList(arranged), state);
}

}  // namespace flowdarts::nas_bench_201
