#include <flowdarts/spaces/mixed_op/depthwise_kernels.hpp>
#include <flowdarts/spaces/mobilenet/composed_layer.hpp>
#include <flowdarts/spaces/mobilenet/fused_layer.hpp>
#include <flowdarts/spaces/mobilenet/fused_norm.hpp>

namespace flowdarts::mobilenet {

using mixed_op::channels_last;
using mixed_op::empty_channels_last;
using mixed_op::Normalisation;
using mixed_op::PixelRange;
using mixed_op::rows;
using mixed_op::Rows;
using torch::Tensor;

namespace {

/// A candidate that runs.
struct Branch {
  std::shared_ptr<const MbConv> op;
  std::int64_t column;
  std::int64_t kernel;
  std::int64_t hidden;  // channels behind the expansion
  std::int64_t first;   // where they begin among those of all candidates
};

/// Candidates [begin, end).
struct BranchRange {
  std::size_t begin, end;
};

struct LayerPlan {
  LayerShape shape;
  std::vector<Branch> branches;
  std::int64_t hidden = 0;  // of all candidates

  /// f(range), one after the other: what runs together, from one batch norm to the next. Where processes share
  /// statistics that is all candidates, so that their sums are one message; else each by itself, which needs less
  /// memory.
  template <class F>
  void for_each_group(bool shared, const F& f) const {
    const std::size_t step = shared ? branches.size() : 1;
    for (std::size_t b = 0; b < branches.size(); b += step) f(BranchRange{b, b + step});
  }
};

/// Where the variables stand: x, the op weights, then for each branch weight, gamma and beta of each convolution.
struct Places {
  static std::size_t expand(std::size_t branch) { return 2 + 9 * branch; }
  static std::size_t depthwise(std::size_t branch) { return expand(branch) + 3; }
  static std::size_t project(std::size_t branch) { return expand(branch) + 6; }
};

/// What the backward pass needs of a branch.
struct BranchState {
  Normalisation expand_norm, depthwise_norm;
  Tensor taps;            // of the depthwise convolution, [kernel * kernel, hidden]
  Tensor filtered;        // what it makes, [B, hidden, H', W']
  Tensor project_weight;  // [out, hidden]
  mixed_op::Term term;    // of the layer's mix
};

struct LayerState : torch::CustomClassHolder {
  std::shared_ptr<const LayerPlan> plan;
  std::size_t variable_count = 0;
  Tensor x;
  Tensor expand_weight;  // of all branches, [hidden, in]
  Tensor expanded;       // [B, hidden, H, W]
  std::vector<BranchState> branches;
};

// The pixels of x, channels-last, as a matrix [pixels, channels].
Tensor matrix(const Tensor& x) {
  return x.permute({0, 2, 3, 1}).reshape({-1, x.size(1)});
}

// Such a matrix as images of `like`'s number and size.
Tensor images(const Tensor& pixels, const Tensor& like) {
  return channels_last(pixels.view({like.size(0), like.size(2), like.size(3), pixels.size(1)}).permute({0, 3, 1, 2}));
}

std::int64_t image_pixels(const Tensor& x) {
  return x.size(2) * x.size(3);
}

mixed_op::DepthwiseShape depthwise_shape(const Branch& branch, const Tensor& x, const LayerShape& shape) {
  return {.height = x.size(2),
          .width = x.size(3),
          .channels = branch.hidden,
          .kernel = branch.kernel,
          .stride = shape.stride,
          .padding = branch.kernel / 2};
}

/// f(part, image, scratch), the parts in parallel. scratch: `size` values of type T, for f alone while it runs.
template <class T, class F>
void for_each_image(const mixed_op::ImageParts& parts, std::int64_t size, const F& f) {
  parts.for_each([&] { return std::make_unique_for_overwrite<T[]>(static_cast<std::size_t>(size)); },
                 [&](std::int64_t part, mixed_op::ImageRange range, const auto& scratch) {
                   for (std::int64_t image = range.begin; image < range.end; ++image) f(part, image, scratch.get());
                 });
}

/// The depthwise convolution of a candidate on its part of the expanded channels.
void filter(LayerState& state, std::size_t b, torch::TensorList variables) {
  const Branch& branch = state.plan->branches[b];
  BranchState& own = state.branches[b];
  const Tensor& expanded = state.expanded;
  const mixed_op::DepthwiseShape shape = depthwise_shape(branch, expanded, state.plan->shape);
  own.filtered =
      empty_channels_last({expanded.size(0), branch.hidden, shape.out_height(), shape.out_width()}, expanded);
  const Tensor depthwise_weight = variables[Places::depthwise(b)].detach();
  mixed_op::with_type(expanded.scalar_type(), [&]<class T>() {
    own.taps = depthwise_weight.to(c10::CppTypeToScalarType<mixed_op::Compute<T>>::value)
                   .reshape({branch.hidden, -1})
                   .t()
                   .contiguous();
    const NormClamp<T> activate(own.expand_norm, mixed_op::relu6);
    const std::int64_t in = image_pixels(expanded), out = image_pixels(own.filtered);
    const mixed_op::ImageParts parts(expanded.size(0));
    for_each_image<T>(parts, in * branch.hidden, [&](std::int64_t, std::int64_t image, T* activated) {
      activate(rows<const T>(expanded, branch.first).from(image * in), {0, in}, {activated, branch.hidden});
      mixed_op::depthwise<T>(activated, mixed_op::elements<mixed_op::Compute<T>>(own.taps), shape,
                             {0, shape.out_height()}, rows<T>(own.filtered).from(image * out).data);
    });
  });
}

/// The convolution of a candidate that projects.
void project(LayerState& state, std::size_t b, double weight, torch::TensorList variables) {
  const std::int64_t hidden = state.plan->branches[b].hidden;
  BranchState& own = state.branches[b];
  own.project_weight = variables[Places::project(b)].detach().reshape({-1, hidden}).to(own.filtered.scalar_type());
  const Tensor activated = apply_norm(own.depthwise_norm, mixed_op::relu6, own.filtered);
  own.term = {.x = images(at::mm(matrix(activated), own.project_weight.t()), own.filtered), .weight = weight};
}

/// Runs candidates on the expanded channels.
void run_branches(LayerState& state, BranchRange range, const double* op_weights, torch::TensorList variables) {
  const std::vector<Branch>& branches = state.plan->branches;
  // store(branch, pass) for the norms that read what input(branch) says.
  const auto normalise_all = [&](const auto& input, const auto& store) {
    std::vector<NormInput> inputs;
    for (std::size_t b = range.begin; b < range.end; ++b) inputs.push_back(input(branches[b], state.branches[b]));
    std::vector<Normalisation> passes = normalise(std::move(inputs));
    for (std::size_t b = range.begin; b < range.end; ++b) store(state.branches[b], std::move(passes[b - range.begin]));
  };
  normalise_all([&](const Branch& branch,
                    const BranchState&) { return read_input(branch.op->expand_norm(), state.expanded, branch.first); },
                [](BranchState& own, Normalisation pass) { own.expand_norm = std::move(pass); });
  for (std::size_t b = range.begin; b < range.end; ++b) filter(state, b, variables);
  normalise_all([](const Branch& branch,
                   const BranchState& own) { return read_input(branch.op->depthwise_norm(), own.filtered); },
                [](BranchState& own, Normalisation pass) { own.depthwise_norm = std::move(pass); });
  for (std::size_t b = range.begin; b < range.end; ++b) project(state, b, op_weights[branches[b].column], variables);
  normalise_all(
      [](const Branch& branch, const BranchState& own) { return read_input(branch.op->project_norm(), own.term.x); },
      [](BranchState& own, Normalisation pass) { own.term.norm = std::move(pass); });
}

/// The layer's mix: the candidates that count, and the shortcut.
Tensor mix_branches(const LayerState& state) {
  std::vector<mixed_op::Term> terms;
  for (const BranchState& branch : state.branches) {
    if (branch.term.weight != 0.0) terms.push_back(branch.term);
  }
  if (state.plan->shape.keeps_shape()) terms.push_back({.x = state.x});
  Tensor out = empty_channels_last(state.branches[0].term.x);
  mixed_op::with_type(out.scalar_type(), [&]<class T>() {
    const mixed_op::WeightedSum<T> sum(terms, out.size(1));
    mixed_op::Parts(mixed_op::pixel_count(out), out.size(1)).for_each([&](std::int64_t, PixelRange range) {
      sum(range, rows<T>(out), {});
    });
  });
  return out;
}

class LayerBackward {
 public:
  LayerBackward(const torch::autograd::AutogradContext& context, LayerState& state)
      : state_(state), result_(state.variable_count + 1) {  // the plan is an argument, too
    x_needs_ = context.needs_input_grad(0);
    alphas_need_ = context.needs_input_grad(1);
    // Weights, gammas and betas are asked for all or none.
    for (std::size_t v = 2; v < state.variable_count; ++v) weights_need_ |= context.needs_input_grad(v);
  }

  torch::autograd::variable_list run(const Tensor& output, torch::IntArrayRef op_weight_sizes) {
    const Tensor g = channels_last(output);
    const std::vector<Branch>& branches = state_.plan->branches;
    std::vector<const mixed_op::Term*> terms;
    for (const BranchState& branch : state_.branches) terms.push_back(&branch.term);
    const mixed_op::Sums sums = mixed_op::reduce(g, {}, terms);
    mixed_op::Sums whole = sums;  // of the whole batch
    const bool branches_need = weights_need_ || x_needs_;
    if (branches_need) {
      expanded_gradient_ = empty_channels_last(state_.expanded);
      mixed_op::Exchange exchange;
      mixed_op::add_to(exchange, terms, whole);
      exchange.run();
    }
    Tensor alpha_gradient = torch::zeros(op_weight_sizes, torch::kDouble);
    for (std::size_t b = 0; b < branches.size(); ++b) {
      const mixed_op::Term& term = state_.branches[b].term;
      const mixed_op::TermGradient own = mixed_op::term_gradient(*term.norm, term.weight, sums.total, sums.dot(b));
      alpha_gradient[0][branches[b].column] = own.weight;
      if (!branches_need) continue;
      if (term.weight == 0.0) {
        nothing_of(b);
      } else {
        set_norm(Places::project(b), own);
      }
    }
    if (branches_need) {
      mixed_op::with_type(g.scalar_type(), [&]<class T>() {
        const bool shared = state_.branches[0].expand_norm.sum != nullptr;
        state_.plan->for_each_group(shared, [&](BranchRange range) { branches_backward<T>(range, g, whole); });
      });
    }
    if (alphas_need_) result_[1] = alpha_gradient;
    if (weights_need_) {
      const Tensor all = at::mm(matrix(expanded_gradient_).t(), matrix(state_.x));
      for (std::size_t b = 0; b < branches.size(); ++b) {
        result_[Places::expand(b)] =
            all.narrow(0, branches[b].first, branches[b].hidden).view({branches[b].hidden, -1, 1, 1});
      }
    }
    if (x_needs_) {
      result_[0] = images(at::mm(matrix(expanded_gradient_), state_.expand_weight), state_.x);
      if (state_.plan->shape.keeps_shape()) result_[0].add_(g);
    }
    return std::move(result_);
  }

 private:
  void set_norm(std::size_t place, const mixed_op::TermGradient& own) {
    if (!weights_need_) return;
    result_[place + 1] = torch::tensor(own.gamma, torch::kDouble);
    result_[place + 2] = torch::tensor(own.beta, torch::kDouble);
  }

  // A branch of weight 0 takes no part.
  void nothing_of(std::size_t b) {
    const Branch& branch = state_.plan->branches[b];
    expanded_gradient_.narrow(1, branch.first, branch.hidden).zero_();
    if (!weights_need_) return;
    const std::int64_t out = state_.plan->shape.out;
    result_[Places::depthwise(b)] = torch::zeros({branch.hidden, 1, branch.kernel, branch.kernel});
    result_[Places::project(b)] = torch::zeros({out, branch.hidden, 1, 1});
    for (const auto& [place, channels] : {std::pair{Places::expand(b), branch.hidden},
                                          {Places::depthwise(b), branch.hidden},
                                          {Places::project(b), out}}) {
      result_[place + 1] = result_[place + 2] = torch::zeros({channels});
    }
  }

  /// A branch on its way back.
  struct BranchGradient {
    std::size_t branch;
    Tensor filtered;
    mixed_op::Sums sums;  // of the gradient in front of the clamp that is next
  };

  // From the layer's output back to the branches' expanded channels; sums: those of g over the whole batch.
  template <class T>
  void branches_backward(BranchRange range, const Tensor& g, const mixed_op::Sums& sums) {
    std::vector<BranchGradient> gradients;
    for (std::size_t b = range.begin; b < range.end; ++b) {
      const mixed_op::Term& term = state_.branches[b].term;
      if (term.weight == 0.0) continue;
      gradients.push_back(
          project_backward<T>(b, g, mixed_op::input_gradient(*term.norm, term.weight, sums.total, sums.dot(b))));
    }
    exchange_sums(gradients, &BranchState::depthwise_norm);
    for (BranchGradient& gradient : gradients) {
      const BranchState& own = state_.branches[gradient.branch];
      norm_backward(own.depthwise_norm, gradient.sums, own.filtered, gradient.filtered);
      gradient.sums = depthwise_backward<T>(gradient.branch, gradient.filtered);
      gradient.filtered.reset();
    }
    exchange_sums(gradients, &BranchState::expand_norm);
    for (const BranchGradient& gradient : gradients) expand_backward<T>(gradient.branch, gradient.sums);
  }

  // Makes the branches' sums, at one of their norms, those over the whole batch.
  void exchange_sums(std::vector<BranchGradient>& gradients, Normalisation BranchState::*norm) const {
    mixed_op::Exchange exchange;
    for (BranchGradient& gradient : gradients) {
      add_to(exchange, state_.branches[gradient.branch].*norm, gradient.sums);
    }
    exchange.run();
  }

  template <class T>
  BranchGradient project_backward(std::size_t b, const Tensor& g, const mixed_op::InputGradient& projected) {
    const Branch& branch = state_.plan->branches[b];
    const BranchState& own = state_.branches[b];
    BranchGradient gradient{.branch = b, .filtered = {}, .sums = {}};
    {
      const Tensor projected_gradient = empty_channels_last(g);
      const mixed_op::GradientWriter<T> write(projected);
      mixed_op::Parts(mixed_op::pixel_count(g), g.size(1)).for_each([&](std::int64_t, PixelRange range) {
        write(rows<const T>(g), {}, rows<const T>(own.term.x), range, rows<T>(projected_gradient));
      });
      if (weights_need_) {
        const Tensor activated = apply_norm(own.depthwise_norm, mixed_op::relu6, own.filtered);
        result_[Places::project(b)] =
            at::mm(matrix(projected_gradient).t(), matrix(activated)).view({-1, branch.hidden, 1, 1});
      }
      gradient.filtered = images(at::mm(matrix(projected_gradient), own.project_weight), own.filtered);
    }
    gradient.sums = clamp_backward(own.depthwise_norm, mixed_op::relu6, own.filtered, gradient.filtered);
    set_norm(Places::depthwise(b),
             mixed_op::term_gradient(own.depthwise_norm, 1.0, gradient.sums.total, gradient.sums.dots));
    return gradient;
  }

  // Image by image, so that what ReLU6 makes and its gradient stay in the cache. g: of the filtered features; returns
  // the sums of what passes the clamp in front, which is left where the gradient of the expanded features will be.
  template <class T>
  mixed_op::Sums depthwise_backward(std::size_t b, const Tensor& g) {
    using A = mixed_op::Compute<T>;
    const Branch& branch = state_.plan->branches[b];
    const BranchState& own = state_.branches[b];
    const Tensor& expanded = state_.expanded;
    const mixed_op::DepthwiseShape shape = depthwise_shape(branch, expanded, state_.plan->shape);
    const std::int64_t in = image_pixels(expanded), out = image_pixels(g);
    const NormClamp<T> activate(own.expand_norm, mixed_op::relu6);
    const mixed_op::ImageParts parts(expanded.size(0));
    PartSums totals(parts.count, branch.hidden), dots(parts.count, branch.hidden);
    PartSums taps(weights_need_ ? parts.count : 0, shape.taps() * branch.hidden);
    for_each_image<T>(parts, in * branch.hidden, [&](std::int64_t part, std::int64_t image, T* scratch) {
      const Rows<T> features{scratch, branch.hidden};  // behind the ReLU6, then their gradient
      const Rows<const T> x = rows<const T>(expanded, branch.first).from(image * in);
      const T* image_g = rows<const T>(g).from(image * out).data;
      if (weights_need_) {
        activate(x, {0, in}, features);
        mixed_op::depthwise_weight_gradient<T>(image_g, scratch, shape, {0, shape.out_height()}, taps[part]);
      }
      mixed_op::depthwise_input_gradient<T>(image_g, nullptr, mixed_op::elements<A>(own.taps), shape, {0, shape.height},
                                            scratch);
      activate.pass(features, x, {0, in}, rows<T>(expanded_gradient_, branch.first).from(image * in), totals[part],
                    dots[part]);
    });
    if (weights_need_) {
      result_[Places::depthwise(b)] = torch::tensor(taps.total(), torch::kDouble)
                                          .view({shape.taps(), branch.hidden})
                                          .t()
                                          .contiguous()
                                          .view({branch.hidden, 1, branch.kernel, branch.kernel});
    }
    mixed_op::Sums sums{.total = totals.total(), .dots = dots.total()};
    set_norm(Places::expand(b), mixed_op::term_gradient(own.expand_norm, 1.0, sums.total, sums.dots));
    return sums;
  }

  template <class T>
  void expand_backward(std::size_t b, const mixed_op::Sums& sums) {
    const Branch& branch = state_.plan->branches[b];
    const Tensor& expanded = state_.expanded;
    const mixed_op::GradientWriter<T> write(
        mixed_op::input_gradient(state_.branches[b].expand_norm, 1.0, sums.total, sums.dots));
    const Rows<T> gradient = rows<T>(expanded_gradient_, branch.first);
    mixed_op::Parts(mixed_op::pixel_count(expanded), branch.hidden).for_each([&](std::int64_t, PixelRange range) {
      write(gradient, {}, rows<const T>(expanded, branch.first), range, gradient);
    });
  }

  LayerState& state_;
  torch::autograd::variable_list result_;
  bool x_needs_ = false, alphas_need_ = false, weights_need_ = false;
  Tensor expanded_gradient_;
};

class LayerFunction : public torch::autograd::Function<LayerFunction> {
 public:
  static Tensor forward(torch::autograd::AutogradContext* context, torch::TensorList variables,
                        const std::shared_ptr<const LayerPlan>& plan) {
    auto state = c10::make_intrusive<LayerState>();
    state->plan = plan;
    state->variable_count = variables.size();
    state->x = channels_last(variables[0].detach());
    state->branches.resize(plan->branches.size());
    std::vector<Tensor> weights;
    for (std::size_t b = 0; b < plan->branches.size(); ++b) weights.push_back(variables[Places::expand(b)].detach());
    state->expand_weight = torch::cat(weights).view({plan->hidden, -1}).to(state->x.scalar_type());
    state->expanded = images(at::mm(matrix(state->x), state->expand_weight.t()), state->x);
    const Tensor op_weights = variables[1].detach().to(torch::kDouble).contiguous();
    plan->for_each_group(plan->branches[0].op->expand_norm().rank_sum() != nullptr, [&](BranchRange range) {
      run_branches(*state, range, op_weights.const_data_ptr<double>(), variables);
    });
    Tensor out = mix_branches(*state);
    context->save_for_backward({variables[0], variables[1]});  // for the check alone that nobody changed them in place
    context->saved_data["state"] = torch::IValue::make_capsule(std::move(state));
    return out;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list outputs) {
    TORCH_CHECK(!torch::GradMode::is_enabled(), "a fused layer: its gradient is not differentiable");
    const auto saved = context->get_saved_variables();
    const auto state = c10::static_intrusive_pointer_cast<LayerState>(context->saved_data["state"].toCapsule());
    return LayerBackward(*context, *state).run(outputs[0], saved[1].sizes());
  }
};

}  // namespace

Tensor FusedLayer::mix(const Tensor& x, const Tensor& op_weights) {
  mixed_op::check_activations("a fused layer", x, /*takes_gpu=*/true);
  if (composed_ || !x.is_cpu()) {
    std::vector<WeighedMbConv> ops;
    for (std::size_t column = 0; column < conv_op_count; ++column) {
      if (runs(column)) ops.push_back({candidate(column)->as<MbConv>(), static_cast<std::int64_t>(column)});
    }
    return compose_layer(ops, x, op_weights.flatten(), shape().keeps_shape());
  }
  auto plan = std::make_shared<LayerPlan>();
  plan->shape = shape();
  std::vector<Tensor> variables{x, op_weights};
  for (std::size_t column = 0; column < conv_op_count; ++column) {
    if (!runs(column)) continue;
    const auto op = std::static_pointer_cast<const MbConv>(candidate(column));
    const std::int64_t hidden = op->depthwise_weight().size(0);
    plan->branches.push_back(
        {op, static_cast<std::int64_t>(column), op->depthwise_weight().size(2), hidden, plan->hidden});
    plan->hidden += hidden;
    for (const auto& [weight, norm] : {std::pair{op->expand_weight(), &op->expand_norm()},
                                       {op->depthwise_weight(), &op->depthwise_norm()},
                                       {op->project_weight(), &op->project_norm()}}) {
      variables.insert(variables.end(), {weight, norm->weight(), norm->bias()});
    }
  }
  return LayerFunction::apply(torch::TensorList(variables), std::shared_ptr<const LayerPlan>(std::move(plan)));
}

}  // namespace flowdarts::mobilenet
