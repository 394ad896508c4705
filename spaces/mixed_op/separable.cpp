#include <flowdarts/spaces/mixed_op/separable.hpp>

#include <flowdarts/spaces/mixed_op/depthwise_kernels.hpp>
#include <flowdarts/spaces/mixed_op/mix_kernels.hpp>
#include <flowdarts/spaces/mixed_op/tensors.hpp>

#include <algorithm>
#include <memory>
#include <numeric>

namespace flowdarts {
namespace {

using namespace mixed_op;
using torch::Tensor;

/// Bytes of depthwise outputs of all branches that are worked on together.
constexpr std::int64_t group_bytes = std::int64_t{8} << 20;

/// Where the variables of a branch stand; x is variable 0.
struct BranchPlaces {
  std::size_t depthwise, pointwise, bias;
  std::int64_t stride, dilation;
};

/// One branch as the loops see it.
struct Branch {
  DepthwiseShape shape;
  Tensor taps;       // [k * k, C] in the type sums are taken in
  Tensor pointwise;  // [C', C], of x's type

  [[nodiscard]] std::int64_t out_pixels() const { return shape.out_height() * shape.out_width(); }
};

struct SeparableState : torch::CustomClassHolder {
  Tensor x;
  std::vector<BranchPlaces> places;
  std::vector<Branch> branches;
  std::size_t variable_count = 0;

  [[nodiscard]] std::int64_t images_in_group() const {
    std::int64_t bytes = 0;
    for (const Branch& branch : branches) bytes += branch.out_pixels() * branch.shape.channels * x.element_size();
    return std::clamp<std::int64_t>(group_bytes / bytes, 1, x.size(0));
  }
};

/// f(first, count) for groups of images that follow one another.
template <class F>
void for_groups(const SeparableState& state, const F& f) {
  const std::int64_t batch = state.x.size(0), step = state.images_in_group();
  for (std::int64_t first = 0; first < batch; first += step) f(first, std::min(step, batch - first));
}

template <class F>
void for_images(std::int64_t count, const F& f) {
  at::parallel_for(0, count, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t image = begin; image < end; ++image) f(image);
  });
}

/// [pixels, channels] of the images [first, first + count) of a channels-last tensor.
Tensor pixels_of(const Tensor& x, std::int64_t first, std::int64_t count) {
  return x.narrow(0, first, count).permute({0, 2, 3, 1}).view({-1, x.size(1)});
}

std::int64_t image_size(const DepthwiseShape& shape) {
  return shape.height * shape.width * shape.channels;
}

/// A buffer [pixels, C] for the depthwise outputs, or their gradients, of a group of images.
Tensor group_buffer(const SeparableState& state, const Branch& branch) {
  return torch::empty({state.images_in_group() * branch.out_pixels(), branch.shape.channels}, state.x.options());
}

std::vector<Tensor> group_buffers(const SeparableState& state) {
  std::vector<Tensor> buffers;
  for (const Branch& branch : state.branches) buffers.push_back(group_buffer(state, branch));
  return buffers;
}

/// Of image `image`, the depthwise output of one branch.
template <class T>
void run_depthwise(const SeparableState& state, const Branch& branch, std::int64_t image, T* out) {
  depthwise<T>(elements<T>(state.x) + image * image_size(branch.shape), elements<Compute<T>>(branch.taps), branch.shape,
               {0, branch.shape.out_height()}, out);
}

std::vector<Tensor> run_forward(const SeparableState& state, torch::TensorList variables) {
  std::vector<Tensor> outputs;
  for (const Branch& branch : state.branches) {
    outputs.push_back(empty_channels_last(
        {state.x.size(0), branch.pointwise.size(0), branch.shape.out_height(), branch.shape.out_width()}, state.x));
  }
  const std::vector<Tensor> buffers = group_buffers(state);
  for_groups(state, [&](std::int64_t first, std::int64_t count) {
    with_type(state.x.scalar_type(), [&]<class T>() {
      for_images(count, [&](std::int64_t image) {
        for (std::size_t b = 0; b < buffers.size(); ++b) {
          const Branch& branch = state.branches[b];
          run_depthwise<T>(state, branch, first + image,
                           mutable_elements<T>(buffers[b]) + image * branch.out_pixels() * branch.shape.channels);
        }
      });
    });
    for (std::size_t b = 0; b < buffers.size(); ++b) {
      const Branch& branch = state.branches[b];
      Tensor out = pixels_of(outputs[b], first, count);
      at::mm_out(out, buffers[b].narrow(0, 0, count * branch.out_pixels()), branch.pointwise.t());
      if (state.places[b].bias != Variables::none) out.add_(variables[state.places[b].bias].detach());
    }
  });
  return outputs;
}

/// Sums of groups are kept in float32 at least.
void add_to(Tensor& sum, const Tensor& part) {
  const Tensor wide = part.scalar_type() == torch::kBFloat16 ? part.to(torch::kFloat) : part;
  sum = sum.defined() ? sum.add_(wide) : wide;
}

class SeparableBackward {
 public:
  SeparableBackward(const torch::autograd::AutogradContext& context, const SeparableState& state,
                    const torch::autograd::variable_list& gradients)
      : state_(state), input_needs_(context.needs_input_grad(0)), result_(state.variable_count + 1) {
    for (std::size_t b = 0; b < gradients.size(); ++b) {
      if (!gradients[b].defined()) continue;
      const BranchPlaces& places = state.places[b];
      Active active{.branch = &state.branches[b],
                    .places = &places,
                    .g = channels_last(gradients[b]),
                    .dz = group_buffer(state, state.branches[b]),
                    .depthwise_needs = needs(context, places.depthwise),
                    .pointwise_needs = needs(context, places.pointwise),
                    .bias_needs = needs(context, places.bias)};
      if (active.pointwise_needs) active.z = group_buffer(state, state.branches[b]);
      active_.push_back(std::move(active));
    }
  }

  torch::autograd::variable_list run() {
    if (input_needs_) {
      result_[0] = active_.empty() ? torch::zeros_like(state_.x) : empty_channels_last(state_.x);
    }
    for_groups(state_, [&](std::int64_t first, std::int64_t count) {
      for (Active& a : active_) {
        const std::int64_t pixels = count * a.branch->out_pixels();
        Tensor dz = a.dz.narrow(0, 0, pixels);
        at::mm_out(dz, pixels_of(a.g, first, count), a.branch->pointwise);
      }
      with_type(state_.x.scalar_type(), [&]<class T>() { run_images<T>(first, count); });
      for (Active& a : active_) {
        const Tensor g = pixels_of(a.g, first, count);
        if (a.pointwise_needs) {
          add_to(a.pointwise_sum, at::mm(g.t(), a.z.narrow(0, 0, count * a.branch->out_pixels())));
        }
        if (a.bias_needs) add_to(a.bias_sum, g.sum(0));
      }
    });
    for (Active& a : active_) {
      const std::int64_t taps = a.branch->shape.taps(), channels = a.branch->shape.channels;
      if (a.depthwise_needs) {
        result_[a.places->depthwise] = torch::from_blob(a.tap_sums.data(), {taps, channels}, torch::kDouble)
                                           .t()
                                           .clone(torch::MemoryFormat::Contiguous)
                                           .view({channels, 1, a.branch->shape.kernel, a.branch->shape.kernel});
      }
      if (a.pointwise_needs) result_[a.places->pointwise] = a.pointwise_sum.unsqueeze(2).unsqueeze(3);
      if (a.bias_needs) result_[a.places->bias] = a.bias_sum;
    }
    return std::move(result_);
  }

 private:
  /// A branch whose output has a gradient.
  struct Active {
    const Branch* branch;
    const BranchPlaces* places;
    Tensor g, dz, z;  // of a group, but g
    bool depthwise_needs, pointwise_needs, bias_needs;
    std::vector<double> tap_sums = {};
    Tensor pointwise_sum = {}, bias_sum = {};

    [[nodiscard]] std::size_t tap_count() const {
      return static_cast<std::size_t>(branch->shape.taps() * branch->shape.channels);
    }
  };

  // All that is not a matrix product, image by image.
  template <class T>
  void run_images(std::int64_t first, std::int64_t count) {
    const std::int64_t channels = state_.x.size(1), pixels = state_.x.size(2) * state_.x.size(3);
    // One sum an image, added in the order of images: the same bits for any number of threads.
    std::vector<std::vector<double>> tap_sums(active_.size());
    for (std::size_t a = 0; a < active_.size(); ++a) {
      if (active_[a].depthwise_needs) tap_sums[a].resize(static_cast<std::size_t>(count) * active_[a].tap_count());
    }
    const std::vector<Compute<T>> ones(static_cast<std::size_t>(channels), Compute<T>(1));
    for_images(count, [&](std::int64_t image) {
      const T* x = elements<T>(state_.x) + (first + image) * pixels * channels;
      const auto input_gradients = std::make_unique_for_overwrite<T[]>(
          input_needs_ ? active_.size() * static_cast<std::size_t>(pixels * channels) : 0);
      std::vector<ScaledTerm<T>> terms;
      for (std::size_t a = 0; a < active_.size(); ++a) {
        const Active& active = active_[a];
        const Branch& branch = *active.branch;
        const std::int64_t out_image = branch.out_pixels() * channels;
        const T* dz = elements<T>(active.dz) + image * out_image;
        if (active.pointwise_needs) {
          run_depthwise<T>(state_, branch, first + image, mutable_elements<T>(active.z) + image * out_image);
        }
        if (active.depthwise_needs) {
          depthwise_weight_gradient<T>(dz, x, branch.shape, {0, branch.shape.out_height()},
                                       tap_sums[a].data() + static_cast<std::size_t>(image) * active.tap_count());
        }
        if (!input_needs_) continue;
        T* own = input_gradients.get() + static_cast<std::int64_t>(a) * pixels * channels;
        depthwise_input_gradient<T>(dz, x, elements<Compute<T>>(branch.taps), branch.shape, {0, branch.shape.height},
                                    own);
        terms.push_back({{own, channels}, ones.data()});
      }
      if (terms.empty()) return;
      weighted_sum<T>(terms, nullptr, {}, {}, {0, pixels}, channels,
                      Rows<T>{mutable_elements<T>(result_[0]) + (first + image) * pixels * channels, channels}, {});
    });
    for (std::size_t a = 0; a < active_.size(); ++a) {
      std::vector<double>& sums = active_[a].tap_sums;
      if (active_[a].depthwise_needs) sums.resize(active_[a].tap_count());
      for (std::size_t i = 0; i < tap_sums[a].size(); ++i) sums[i % sums.size()] += tap_sums[a][i];
    }
  }

  const SeparableState& state_;
  bool input_needs_;
  std::vector<Active> active_;
  torch::autograd::variable_list result_;
};

class SeparableFunction : public torch::autograd::Function<SeparableFunction> {
 public:
  static torch::autograd::variable_list forward(torch::autograd::AutogradContext* context, torch::TensorList variables,
                                                const std::vector<BranchPlaces>& places, bool relu_input) {
    context->set_materialize_grads(false);
    auto state = c10::make_intrusive<SeparableState>();
    state->x = channels_last(variables[0].detach());
    state->places = places;
    state->variable_count = variables.size();
    const Tensor& x = state->x;
    const auto sum_type = x.scalar_type() == torch::kDouble ? torch::kDouble : torch::kFloat;
    for (const BranchPlaces& branch : places) {
      const Tensor depthwise = variables[branch.depthwise].detach(), pointwise = variables[branch.pointwise].detach();
      const std::int64_t kernel = depthwise.size(2);
      state->branches.push_back({.shape = {.height = x.size(2),
                                           .width = x.size(3),
                                           .channels = x.size(1),
                                           .kernel = kernel,
                                           .stride = branch.stride,
                                           .padding = branch.dilation * (kernel / 2),
                                           .dilation = branch.dilation,
                                           .relu_input = relu_input},
                                 .taps = depthwise.to(sum_type).reshape({depthwise.size(0), -1}).t().contiguous(),
                                 .pointwise = pointwise.reshape({pointwise.size(0), -1}).to(x.scalar_type())});
    }
    torch::autograd::variable_list outputs = run_forward(*state, variables);
    context->save_for_backward({variables[0]});  // for the check alone that nobody changed it in place
    context->saved_data["state"] = torch::IValue::make_capsule(std::move(state));
    return outputs;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    TORCH_CHECK(!torch::GradMode::is_enabled(), "separable_conv2d: its gradient is not differentiable");
    context->get_saved_variables();
    const auto state = c10::static_intrusive_pointer_cast<SeparableState>(context->saved_data["state"].toCapsule());
    auto result = SeparableBackward(*context, *state, gradients).run();
    result.resize(state->variable_count + 2);  // and the arguments that are no variables
    return result;
  }
};

void check(const Tensor& x, const SeparableBranch& branch) {
  TORCH_CHECK(branch.depthwise.defined() && branch.depthwise.dim() == 4 && branch.depthwise.size(0) == x.size(1) &&
                  branch.depthwise.size(1) == 1 && branch.depthwise.size(2) == branch.depthwise.size(3) &&
                  branch.depthwise.size(2) % 2 == 1,
              "separable_conv2d: expected a depthwise weight [", x.size(1), ", 1, k, k] with odd k, found ",
              branch.depthwise.defined() ? branch.depthwise.sizes() : at::IntArrayRef());
  TORCH_CHECK(branch.pointwise.defined() && branch.pointwise.dim() == 4 && branch.pointwise.size(1) == x.size(1) &&
                  branch.pointwise.size(2) == 1 && branch.pointwise.size(3) == 1,
              "separable_conv2d: expected a pointwise weight [channels, ", x.size(1), ", 1, 1], found ",
              branch.pointwise.defined() ? branch.pointwise.sizes() : at::IntArrayRef());
  TORCH_CHECK(branch.stride >= 1 && branch.dilation >= 1,
              "separable_conv2d: expected a stride and a dilation of at least 1, found ", branch.stride, " and ",
              branch.dilation);
}

}  // namespace

std::vector<Tensor> separable_conv2d(const Tensor& x, std::span<const SeparableBranch> branches, bool relu_input) {
  check_activations("separable_conv2d", x, /*takes_gpu=*/false);
  Variables variables{{x}};
  std::vector<BranchPlaces> places;
  for (const SeparableBranch& branch : branches) {
    check(x, branch);
    places.push_back({variables.add(branch.depthwise), variables.add(branch.pointwise), variables.add(branch.bias),
                      branch.stride, branch.dilation});
  }
  if (places.empty()) return {};
  return SeparableFunction::apply(torch::TensorList(variables.tensors), places, relu_input);
}

}  // namespace flowdarts
