#include <flowdarts/spaces/mixed_op/mix.hpp>
#include <flowdarts/spaces/mixed_op/mix_kernels.hpp>
#include <flowdarts/spaces/mixed_op/pool_kernels.hpp>
#include <flowdarts/spaces/nas_bench_201/cell_plan.hpp>
#include <flowdarts/spaces/nas_bench_201/fused_cell.hpp>

#ifdef FLOWDARTS_CUDA
#include <flowdarts/spaces/nas_bench_201/fused_cell_on_gpu.hpp>
#endif

namespace flowdarts::nas_bench_201 {

using mixed_op::Term;

namespace {

/// What the forward pass keeps of a node that others read.
struct NodeState {
  torch::Tensor x, rectified;
  std::array<torch::Tensor, kernels.size()> weights;  // stacked
};

/// A term of a node's mix: where it comes from.
struct NodeTerm {
  enum class Kind { conv, skip, pool };
  Term term;
  Kind kind;
  std::size_t edge;
  int op;
  std::size_t stack = 0;  // of a convolution
  const StackedConv* conv = nullptr;
  mixed_op::InputGradient gradient;  // of a convolution's output, once the backward pass knows it
};

struct CellState : torch::CustomClassHolder {
  std::shared_ptr<const CellPlan> plan;
  std::vector<ConvPlaces> places;  // of the convolutions, in for_each_conv's order
  std::size_t variable_count = 0;
  std::array<NodeState, source_nodes> nodes;
  std::array<std::vector<NodeTerm>, cell_nodes> terms;  // of each node's mix, those of lower edges first
};

torch::Tensor stacked(std::span<const torch::Tensor> parts, at::ScalarType dtype) {
  if (parts.empty()) return {};
  const torch::Tensor all =
      parts.size() == 1 ? parts[0].detach() : torch::cat(at::ITensorListRef(parts.data(), parts.size())).detach();
  return all.to(dtype);
}

// Runs f(image) for the images [first, first + count) in parallel.
template <class F>
void for_each_image(std::int64_t first, std::int64_t count, const F& f) {
  at::parallel_for(first, first + count, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t image = begin; image < end; ++image) f(image);
  });
}

/// Images whose convolutions, and the passes before and behind them, run together so that what lies between them stays
/// in the cache: some MiB of stacked outputs. By shapes alone, so that results do not depend on the number of threads.
std::int64_t group_size(const torch::Tensor& x, const SourcePlan& readers) {
  const auto stacked = static_cast<std::int64_t>(readers.stacks[0].size() + readers.stacks[1].size());
  const std::int64_t image_bytes = stacked * x.size(1) * x.size(2) * x.size(3) * x.element_size();
  return std::max<std::int64_t>(1, (std::int64_t{8} << 20) / std::max<std::int64_t>(1, image_bytes));
}

mixed_op::PixelRange pixels_of(const torch::Tensor& x, std::int64_t image) {
  const std::int64_t size = x.size(2) * x.size(3);
  return {image * size, (image + 1) * size};
}

/// A weighted sum over an image, some of whose terms are pooled: as pooling is linear, one pool for all of them.
template <class T>
class PoolingSum {
 public:
  using Pool = void (*)(const T* in, const mixed_op::PoolGeometry& geometry, std::int64_t channels, T* out);

  /// `pool` is average_pool or its backward pass. like: a tensor of the terms' sizes.
  PoolingSum(std::span<const Term> plain, std::span<const Term> pooled, Pool pool, const torch::Tensor& like)
      : plain_(plain, like.size(1)),
        pooled_(pooled, like.size(1)),
        pools_(!pooled.empty()),
        pool_(pool),
        like_(like),
        ones_(static_cast<std::size_t>(like.size(1)), mixed_op::Compute<T>(1)) {}

  /// As weighted_sum() over one image.
  void operator()(std::int64_t image, mixed_op::Rows<T> sum, mixed_op::Rows<T> rectified,
                  std::span<const mixed_op::Rows<const T>> gated = {}, mixed_op::Rows<const T> gate = {}) const {
    const mixed_op::PixelRange pixels = pixels_of(like_, image);
    if (!pools_) return plain_(pixels, sum, rectified, {}, gated, gate);
    const std::int64_t channels = like_.size(1);
    const std::int64_t before = pixels.begin * channels;
    const auto size = static_cast<std::size_t>((pixels.end - pixels.begin) * channels);
    const auto mixed = std::make_unique_for_overwrite<T[]>(size);
    const auto out = std::make_unique_for_overwrite<T[]>(size);
    pooled_(pixels, mixed_op::Rows<T>{mixed.get() - before, channels}, {});
    pool_(mixed.get(), {.height = like_.size(2), .width = like_.size(3)}, channels, out.get());
    const mixed_op::ScaledTerm<T> term{{out.get() - before, channels}, ones_.data()};
    plain_(pixels, sum, rectified, std::span(&term, 1), gated, gate);
  }

 private:
  mixed_op::WeightedSum<T> plain_, pooled_;
  bool pools_;
  Pool pool_;
  torch::Tensor like_;
  std::vector<mixed_op::Compute<T>> ones_;
};

/// Makes node `j` of the cell, unless x is given: its mix, and its rectified form for the convolutions that read it.
void make_node(CellState& state, std::size_t j, const torch::Tensor& like, torch::Tensor& x) {
  std::vector<Term> plain, pooled;
  const bool given = x.defined();
  if (given) {
    plain.push_back({.x = x});
  } else {
    x = mixed_op::empty_channels_last(like);
    for (const NodeTerm& term : state.terms[j]) {
      if (term.term.weight == 0.0) continue;
      (term.kind == NodeTerm::Kind::pool ? pooled : plain).push_back(term.term);
    }
  }
  torch::Tensor rectified;
  if (j < source_nodes) {
    if (state.plan->sources[j].has_convs()) rectified = mixed_op::empty_channels_last(like);
    state.nodes[j].x = x;
    state.nodes[j].rectified = rectified;
  }
  if (given && !rectified.defined()) return;
  mixed_op::with_type(like.scalar_type(), [&]<class T>() {
    using mixed_op::Rows;
    const PoolingSum<T> sum(plain, pooled, mixed_op::average_pool<T>, like);
    const Rows<T> to = given ? Rows<T>() : mixed_op::rows<T>(x);
    const Rows<T> rectified_to = rectified.defined() ? mixed_op::rows<T>(rectified) : Rows<T>();
    for_each_image(0, like.size(0), [&](std::int64_t image) { sum(image, to, rectified_to); });
  });
}

/// Adds to the mixes of later nodes what reads node `i`: runs its convolutions.
void run_readers(CellState& state, std::size_t i, std::span<const double> op_weights, torch::TensorList variables) {
  NodeState& node = state.nodes[i];
  const SourcePlan& plan = state.plan->sources[i];
  const std::int64_t channels = state.plan->channels;
  const auto weight_of = [&](std::size_t edge, int op) { return op_weights[edge * column::count + op]; };
  std::array<torch::Tensor, kernels.size()> biases;
  bool batch_statistics = false;
  for (std::size_t s = 0; s < kernels.size(); ++s) {
    std::vector<torch::Tensor> weights, own_biases;
    for (const StackedConv& conv : plan.stacks[s]) {
      const ConvPlaces& places = state.places[conv.position];
      weights.push_back(variables[places.weight]);
      if (places.bias != mixed_op::Variables::none) own_biases.push_back(variables[places.bias]);
      batch_statistics |= conv.op->norm().uses_batch_statistics();
    }
    node.weights[s] = stacked(weights, node.x.scalar_type());
    biases[s] = stacked(own_biases, node.x.scalar_type());
  }
  struct Output {
    torch::Tensor x;
    std::int64_t first = 0;  // channel
    mixed_op::Moments moments;
  };
  std::array<std::array<Output, source_nodes>, kernels.size()> outputs;
  const std::int64_t batch = node.x.size(0);
  const std::int64_t step = batch_statistics ? std::min(batch, group_size(node.x, plan)) : batch;
  for (std::int64_t first = 0; first < batch; first += step) {
    const std::int64_t count = std::min(step, batch - first);
    for (std::size_t s = 0; s < kernels.size(); ++s) {
      if (plan.stacks[s].empty()) continue;
      const torch::Tensor output = mixed_op::channels_last(
          at::conv2d(node.rectified.narrow(0, first, count), node.weights[s], biases[s], 1, kernels[s] / 2));
      for (const StackedConv& conv : plan.stacks[s]) {
        Output& own = outputs[s][conv.slot];
        const std::int64_t offset = conv.slot * channels;
        torch::Tensor copy;
        if (count == batch) {
          own.x = output;
          own.first = offset;
        } else {
          // Out of the stack on the way: what reads it later then reads memory in one piece.
          if (first == 0) own.x = mixed_op::empty_channels_last(node.x);
          copy = own.x.narrow(0, first, count);
        }
        if (batch_statistics) mixed_op::add_moments(own.moments, output, offset, channels, copy);
      }
    }
  }
  for (std::size_t s = 0; s < kernels.size(); ++s) {
    for (const StackedConv& conv : plan.stacks[s]) {
      const int op = column_of_kernel(kernels[s]);
      const Output& own = outputs[s][conv.slot];
      state.terms[cell_edges[conv.edge].to].push_back(
          {.term = {.x = own.x,
                    .first = own.first,
                    .weight = weight_of(conv.edge, op),
                    .norm = mixed_op::normalise(conv.op->norm(), own.moments)},
           .kind = NodeTerm::Kind::conv,
           .edge = conv.edge,
           .op = op,
           .stack = s,
           .conv = &conv});
    }
  }
  for (const std::size_t edge : plan.skips) {
    state.terms[cell_edges[edge].to].push_back({.term = {.x = node.x, .weight = weight_of(edge, column::skip_connect)},
                                                .kind = NodeTerm::Kind::skip,
                                                .edge = edge,
                                                .op = column::skip_connect});
  }
  for (const std::size_t edge : plan.pools) {
    state.terms[cell_edges[edge].to].push_back({.term = {.x = node.x, .weight = weight_of(edge, column::avg_pool_3x3)},
                                                .kind = NodeTerm::Kind::pool,
                                                .edge = edge,
                                                .op = column::avg_pool_3x3});
  }
}

using NodeGradients = std::array<torch::Tensor, cell_nodes>;  // of the nodes, known from the last one down

/// What the gradient of node i takes from the nodes it feeds without a convolution in between.
template <class T>
PoolingSum<T> gradient_of_node(const CellState& state, std::size_t i, const NodeGradients& gradients) {
  std::vector<Term> skips, pools;
  for (const auto& terms : state.terms) {
    for (const NodeTerm& term : terms) {
      if (cell_edges[term.edge].from != static_cast<int>(i) || term.kind == NodeTerm::Kind::conv) continue;
      (term.kind == NodeTerm::Kind::pool ? pools : skips)
          .push_back({.x = gradients[cell_edges[term.edge].to], .weight = term.term.weight});
    }
  }
  return PoolingSum<T>(skips, pools, mixed_op::average_pool_backward<T>, state.nodes[i].x);
}

class CellBackward {
 public:
  CellBackward(const torch::autograd::AutogradContext& context, CellState& state)
      : state_(state),
        // The variables, and the two arguments of forward() that are none.
        result_(state.variable_count + 2),
        input_needs_(context.needs_input_grad(0)),
        alphas_need_(context.needs_input_grad(1)),
        alpha_gradient_(torch::zeros({static_cast<std::int64_t>(cell_edges.size()), column::count}, doubles)) {
    // Weights, biases, gammas and betas are asked for all or none.
    for (std::size_t v = 2; v < state.variable_count; ++v) weights_need_ |= context.needs_input_grad(v);
  }

  torch::autograd::variable_list run(const torch::Tensor& output) {
    gradients_[cell_nodes - 1] = mixed_op::channels_last(output);
    mix_backward(cell_nodes - 1);
    for (std::size_t i = source_nodes; i-- > 0;) {
      mixed_op::with_type(output.scalar_type(), [&]<class T>() { node_backward<T>(i); });
      if (i > 0) mix_backward(i);
    }
    result_[0] = gradients_[0];
    if (alphas_need_) result_[1] = alpha_gradient_;
    return std::move(result_);
  }

 private:
  static constexpr auto doubles = torch::kDouble;
  [[nodiscard]] bool node_needs(std::size_t i) const { return i > 0 || input_needs_; }

  // Node j's mix: dL/d(op weights), dL/dgamma, dL/dbeta, and how the gradients of its convolutions' outputs follow.
  void mix_backward(std::size_t j) {
    const torch::Tensor& g = gradients_[j];
    std::vector<const Term*> reduced;
    std::vector<NodeTerm*> origin;
    std::vector<const NodeTerm*> pools;
    for (NodeTerm& term : state_.terms[j]) {
      if (term.kind == NodeTerm::Kind::pool) {
        if (alphas_need_) pools.push_back(&term);
        continue;
      }
      const bool conv_needs =
          term.kind == NodeTerm::Kind::conv && (weights_need_ || node_needs(cell_edges[term.edge].from));
      if (!alphas_need_ && !conv_needs) continue;
      reduced.push_back(&term.term);
      origin.push_back(&term);
    }
    const mixed_op::Sums sums = mixed_op::reduce(g, {}, reduced);
    auto alpha = alpha_gradient_.accessor<double, 2>();
    const auto weight_gradient = [&](const NodeTerm& term) -> double& {
      return alpha[static_cast<std::int64_t>(term.edge)][term.op];
    };
    if (!pools.empty()) {
      // sum g pool(x) = sum pool'(g) x, pool' being the backward pass: one for all pools that end here.
      const torch::Tensor spread = pooled_gradient(g);
      std::vector<const Term*> terms;
      for (const NodeTerm* pool : pools) terms.push_back(&pool->term);
      const mixed_op::Sums pooled = mixed_op::reduce(spread, {}, terms);
      for (std::size_t t = 0; t < pools.size(); ++t) {
        for (const double value : pooled.dot(t)) weight_gradient(*pools[t]) += value;
      }
    }
    for (std::size_t t = 0; t < reduced.size(); ++t) {
      NodeTerm& term = *origin[t];
      const std::span<const double> dot = sums.dot(t);
      if (term.kind == NodeTerm::Kind::skip) {
        for (const double value : dot) weight_gradient(term) += value;
        continue;
      }
      const mixed_op::TermGradient own = mixed_op::term_gradient(*term.term.norm, term.term.weight, sums.total, dot);
      weight_gradient(term) += own.weight;
      if (weights_need_) {
        const ConvPlaces& places = state_.places[term.conv->position];
        if (places.gamma != mixed_op::Variables::none) result_[places.gamma] = torch::tensor(own.gamma, doubles);
        if (places.beta != mixed_op::Variables::none) result_[places.beta] = torch::tensor(own.beta, doubles);
      }
      term.gradient = mixed_op::input_gradient(*term.term.norm, term.term.weight, sums.total, dot);
    }
  }

  static torch::Tensor pooled_gradient(const torch::Tensor& g) {
    torch::Tensor spread = mixed_op::empty_channels_last(g);
    mixed_op::with_type(g.scalar_type(), [&]<class T>() {
      for_each_image(0, g.size(0), [&](std::int64_t image) {
        const std::int64_t first = pixels_of(g, image).begin;
        mixed_op::average_pool_backward<T>(mixed_op::rows<const T>(g).from(first).data,
                                           {.height = g.size(2), .width = g.size(3)}, g.size(1),
                                           mixed_op::rows<T>(spread).from(first).data);
      });
    });
    return spread;
  }

  // What reads node i, and the gradient of node i itself: group by group of images, so that the gradients of the
  // convolutions' outputs and inputs exist for one group at a time and never leave the cache.
  template <class T>
  void node_backward(std::size_t i) {
    using namespace mixed_op;
    if (!node_needs(i) && !weights_need_) return;
    const NodeState& node = state_.nodes[i];
    const SourcePlan& readers = state_.plan->sources[i];
    struct Writer {
      GradientWriter<T> write;
      Rows<const T> g, output;
      std::size_t stack;
      std::int64_t first;  // channel
    };
    std::vector<Writer> writers;
    for (const auto& terms : state_.terms) {
      for (const NodeTerm& term : terms) {
        if (term.kind != NodeTerm::Kind::conv || cell_edges[term.edge].from != static_cast<int>(i)) continue;
        writers.push_back({GradientWriter<T>(term.gradient), rows<const T>(gradients_[cell_edges[term.edge].to]),
                           rows<const T>(term.term.x, term.term.first), term.stack,
                           term.conv->slot * state_.plan->channels});
      }
    }
    std::optional<PoolingSum<T>> node_gradient;
    if (node_needs(i)) {
      node_gradient.emplace(gradient_of_node<T>(state_, i, gradients_));
      gradients_[i] = empty_channels_last(node.x);
    }
    const std::int64_t batch = node.x.size(0);
    const std::int64_t pixels = node.x.size(2) * node.x.size(3);
    const std::int64_t step = std::min(batch, group_size(node.x, readers));
    std::array<torch::Tensor, kernels.size()> output_gradients, weight_gradients, bias_gradients;
    for (std::int64_t first = 0; first < batch; first += step) {
      const std::int64_t count = std::min(step, batch - first);
      // Rows of a group's tensor, told as if the images before it were there.
      const auto in_place = [&]<class U>(Rows<U> group) { return group.from(-first * pixels); };
      for (std::size_t s = 0; s < kernels.size(); ++s) {
        if (readers.stacks[s].empty()) continue;
        torch::Tensor& all = output_gradients[s];
        if (first == 0) {
          all = empty_channels_last({count, node.weights[s].size(0), node.x.size(2), node.x.size(3)}, node.x);
        }
        all = all.narrow(0, 0, count);
      }
      for_each_image(first, count, [&](std::int64_t image) {
        for (const Writer& writer : writers) {
          writer.write(writer.g, {}, writer.output, pixels_of(node.x, image),
                       in_place(rows<T>(output_gradients[writer.stack], writer.first)));
        }
      });
      std::vector<torch::Tensor> input_gradients;
      for (std::size_t s = 0; s < kernels.size(); ++s) {
        if (readers.stacks[s].empty()) continue;
        const bool bias = weights_need_ && readers.stacks[s][0].op->conv().bias.defined();
        const std::vector<std::int64_t> bias_sizes{node.weights[s].size(0)};
        auto [dx, dw, db] =
            at::convolution_backward(output_gradients[s], node.rectified.narrow(0, first, count), node.weights[s],
                                     at::OptionalIntArrayRef(bias_sizes), {1, 1}, {kernels[s] / 2, kernels[s] / 2},
                                     {1, 1}, false, {0, 0}, 1, {node_needs(i), weights_need_, bias});
        if (node_needs(i)) input_gradients.push_back(channels_last(dx));
        if (weights_need_) add(weight_gradients[s], dw);
        if (bias) add(bias_gradients[s], db);
      }
      if (!node_gradient) continue;
      std::vector<Rows<const T>> conv_gradients;
      for (const torch::Tensor& dx : input_gradients) conv_gradients.push_back(in_place(rows<const T>(dx)));
      const Rows<const T> gate = conv_gradients.empty() ? Rows<const T>() : rows<const T>(node.rectified);
      for_each_image(first, count, [&](std::int64_t image) {
        (*node_gradient)(image, rows<T>(gradients_[i]), {}, conv_gradients, gate);
      });
    }
    for (std::size_t s = 0; s < kernels.size(); ++s) {
      for (const StackedConv& conv : readers.stacks[s]) {
        const ConvPlaces& places = state_.places[conv.position];
        const std::int64_t channels = state_.plan->channels;
        if (weight_gradients[s].defined()) {
          result_[places.weight] = weight_gradients[s].narrow(0, conv.slot * channels, channels);
        }
        if (bias_gradients[s].defined()) {
          result_[places.bias] = bias_gradients[s].narrow(0, conv.slot * channels, channels);
        }
      }
    }
  }

  // Sums of groups are kept in float32 at least.
  static void add(torch::Tensor& sum, const torch::Tensor& part) {
    const torch::Tensor wide = part.scalar_type() == torch::kBFloat16 ? part.to(torch::kFloat) : part;
    sum = sum.defined() ? sum.add_(wide) : wide;
  }

  CellState& state_;
  torch::autograd::variable_list result_;
  bool input_needs_, alphas_need_, weights_need_ = false;
  torch::Tensor alpha_gradient_;
  NodeGradients gradients_;
};

// Variables: x, the op weights, then those of the convolutions.
class CellFunction : public torch::autograd::Function<CellFunction> {
 public:
  static torch::Tensor forward(torch::autograd::AutogradContext* context, torch::TensorList variables,
                               const std::shared_ptr<const CellPlan>& plan, const std::vector<ConvPlaces>& places) {
    auto state = c10::make_intrusive<CellState>();
    state->plan = plan;
    state->places = places;
    state->variable_count = variables.size();
    torch::Tensor x = mixed_op::channels_last(variables[0].detach());
    const torch::Tensor like = x;
    const torch::Tensor op_weights = variables[1].detach().to(torch::kDouble).contiguous();
    const std::span<const double> values(op_weights.const_data_ptr<double>(), op_weights.numel());
    for (std::size_t j = 0; j < cell_nodes; ++j) {
      if (j > 0) x = torch::Tensor();
      make_node(*state, j, like, x);
      if (j < source_nodes) run_readers(*state, j, values, variables);
    }
    context->save_for_backward({variables[0]});  // for the check alone that nobody changed it in place
    context->saved_data["state"] = torch::IValue::make_capsule(std::move(state));
    return x;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list outputs) {
    TORCH_CHECK(!torch::GradMode::is_enabled(), "a fused cell: its gradient is not differentiable");
    context->get_saved_variables();
    const auto state = c10::static_intrusive_pointer_cast<CellState>(context->saved_data["state"].toCapsule());
    return CellBackward(*context, *state).run(outputs[0]);
  }
};

}  // namespace

FusedCell::FusedCell(const SupernetSpec& spec, std::int64_t channels) : CandidateCell(spec, channels) {
  auto plan = std::make_shared<CellPlan>();
  plan->channels = channels;
  for (std::size_t e = 0; e < cell_edges.size(); ++e) {
    SourcePlan& source = plan->sources[cell_edges[e].from];
    for (std::size_t s = 0; s < kernels.size(); ++s) {
      if (const auto& op = edge(e).candidate(column_of_kernel(kernels[s]))) {
        const auto slot = static_cast<std::int64_t>(source.stacks[s].size());
        source.stacks[s].push_back({e, slot, 0, std::dynamic_pointer_cast<const ReluConvBn>(op)});
      }
    }
    if (edge(e).candidate(column::skip_connect)) source.skips.push_back(e);
    if (edge(e).candidate(column::avg_pool_3x3)) source.pools.push_back(e);
  }
  std::size_t position = 0;
  for (SourcePlan& source : plan->sources) {
    for (auto& stack : source.stacks) {
      for (StackedConv& conv : stack) conv.position = position++;
    }
  }
  plan_ = std::move(plan);
}

torch::Tensor FusedCell::forward(const torch::Tensor& x, const torch::Tensor& op_weights) {
  mixed_op::Variables variables{{x, op_weights}};
  std::vector<ConvPlaces> places;
  for_each_conv(*plan_, [&](const StackedConv& conv) {
    places.push_back({variables.add(conv.op->conv().weight), variables.add(conv.op->conv().bias),
                      variables.add(conv.op->norm().weight()), variables.add(conv.op->norm().bias())});
  });
#ifdef FLOWDARTS_CUDA
  if (x.is_cuda()) return fused_cell_on_gpu(torch::TensorList(variables.tensors), plan_, places);
#endif
  TORCH_CHECK(x.is_cpu(), "a fused cell runs on a CPU or, in a build with FLOWDARTS_CUDA, a GPU, found its input on ",
              x.device());
  return CellFunction::apply(torch::TensorList(variables.tensors), plan_, places);
}

}  // namespace flowdarts::nas_bench_201
