#include <flowdarts/spaces/mixed_op/conv_stack.hpp>
#include <flowdarts/spaces/mixed_op/mix.hpp>

#include <array>
#include <memory>

namespace flowdarts::mixed_op {
namespace {

// Weight gradients are summed in at most so many parts, each of them by one thread.
constexpr std::int64_t most_parts = 32;

at::ScalarType compute_type(at::ScalarType activations) {
  return activations == at::kDouble ? at::kDouble : at::kFloat;
}

/// A batch, cut into units of images that one call of a kernel takes, and those into parts: by the shape alone, so that
/// the number of threads changes no bit.
struct Units {
  std::int64_t images, size, per_part;

  Units(std::int64_t batch, std::int64_t at_once)
      : images(batch), size(at_once), per_part((count() + most_parts - 1) / most_parts) {}
  [[nodiscard]] std::int64_t count() const { return (images + size - 1) / size; }
  [[nodiscard]] std::int64_t parts() const { return (count() + per_part - 1) / per_part; }

  /// make() once a thread, then f(what it made, part, unit, first image, images), the parts in parallel.
  template <class Make, class F>
  void for_each(const Make& make, const F& f) const {
    at::parallel_for(0, parts(), 1, [&](std::int64_t begin, std::int64_t end) {
      auto own = make();
      for (std::int64_t part = begin; part < end; ++part) {
        for (std::int64_t unit = part * per_part; unit < std::min((part + 1) * per_part, count()); ++unit) {
          f(own, part, unit, unit * size, std::min(size, images - unit * size));
        }
      }
    });
  }
};

// f(first image, images) for groups of images of which the outputs of `convs` convolutions, some MiB, stay in the
// cache.
template <class F>
void for_groups(const torch::Tensor& x, std::size_t convs, const F& f) {
  const std::int64_t image_bytes = x.size(1) * x.size(2) * x.size(3) * x.element_size();
  const std::int64_t group =
      std::max<std::int64_t>(1, (std::int64_t{8} << 20) / (image_bytes * static_cast<std::int64_t>(convs)));
  for (std::int64_t first = 0; first < x.size(0); first += group) f(first, std::min(group, x.size(0) - first));
}

// f(begin, end) for parts of `count` filters, in parallel.
template <class F>
void for_filters(std::int64_t count, const F& f) {
  constexpr std::int64_t enough = 2048;
  at::parallel_for(0, count, enough, f);
}

// Whether this CPU multiplies bfloat16 natively: with AVX-512-BF16, which all with AMX have as well.
bool native_bf16() {
#ifdef __x86_64__
  return __builtin_cpu_supports("avx512bf16") != 0;
#else
  return false;
#endif
}

template <class A>
auto scratch_for(const ConvShape& shape, std::int64_t images) {
  return [numbers = static_cast<std::size_t>(shape.scratch(images))] {
    return std::make_unique_for_overwrite<A[]>(numbers);
  };
}

}  // namespace

ConvStack::ConvStack(std::vector<Conv> convs) : convs_(std::move(convs)) {
  for (const Conv& conv : convs_) {
    const std::int64_t channels = convs_[0].weight.size(0);
    TORCH_CHECK(conv.weight.sizes() == at::IntArrayRef({channels, channels, 3, 3}),
                "stacked convolutions: expected weights [C, C, 3, 3], found ", conv.weight.sizes());
  }
}

ConvShape ConvStack::shape(const torch::Tensor& x) const {
  return {.height = x.size(2),
          .width = x.size(3),
          .channels = x.size(1),
          .convs = static_cast<std::int64_t>(convs_.size())};
}

torch::Tensor ConvStack::transformed(at::ScalarType dtype, First first) const {
  const torch::NoGradGuard no_grad;
  const auto& size = convs_[0].weight.sizes();
  const std::int64_t count = size[0] * size[1] * static_cast<std::int64_t>(convs_.size());
  const torch::Tensor filters = first == First::input_channels
                                    ? torch::empty({3, 3, size[1], static_cast<std::int64_t>(convs_.size()), size[0]},
                                                   torch::TensorOptions(dtype))
                                    : torch::empty({3, 3, static_cast<std::int64_t>(convs_.size()), size[0], size[1]},
                                                   torch::TensorOptions(dtype));
  for (std::size_t c = 0; c < convs_.size(); ++c) {
    first == First::input_channels
        ? filters.select(3, static_cast<std::int64_t>(c)).copy_(convs_[c].weight.permute({2, 3, 1, 0}))
        : filters.select(2, static_cast<std::int64_t>(c)).copy_(convs_[c].weight.permute({2, 3, 0, 1}));
  }
  torch::Tensor result = torch::empty({winograd_positions, count}, filters.options());
  const auto transform = [&]<class A>(const A* from, A* to) {
    for_filters(count, [&](std::int64_t begin, std::int64_t end) { winograd_weights(from, count, begin, end, to); });
  };
  dtype == at::kDouble ? transform(filters.const_data_ptr<double>(), result.mutable_data_ptr<double>())
                       : transform(filters.const_data_ptr<float>(), result.mutable_data_ptr<float>());
  return result;
}

std::vector<ConvStack::Output> ConvStack::forward(const torch::Tensor& x, bool moments) const {
  std::vector<Output> outputs(convs_.size());
  if (empty()) return outputs;
  if (x.scalar_type() == at::kBFloat16 && native_bf16()) return forward_by_library(x, moments);
  const at::ScalarType dtype = compute_type(x.scalar_type());
  const ConvShape shape = this->shape(x);
  const Units units(x.size(0), shape.images_at_once());
  const torch::Tensor weights = transformed(dtype, First::input_channels);
  std::vector<torch::Tensor> biases;
  for (std::size_t i = 0; i < convs_.size(); ++i) {
    outputs[i].y = empty_channels_last(x);
    biases.push_back(convs_[i].bias.defined() ? convs_[i].bias.detach().to(dtype).contiguous() : torch::Tensor());
  }
  const std::int64_t channels = shape.channels;
  const std::int64_t image_pixels = shape.height * shape.width;
  // [units, convolutions, channels]
  std::vector<double> means(moments ? static_cast<std::size_t>(units.count()) * outputs.size() * channels : 0);
  std::vector<double> squares(means.size());
  with_type(x.scalar_type(), [&]<class T>() {
    using A = Compute<T>;
    units.for_each(scratch_for<A>(shape, units.size), [&](const auto& scratch, std::int64_t /* part */,
                                                          std::int64_t unit, std::int64_t first, std::int64_t count) {
      const std::int64_t pixel = first * image_pixels;
      std::vector<ConvOutput<T>> to;
      for (std::size_t i = 0; i < outputs.size(); ++i) {
        to.push_back({rows<T>(outputs[i].y).from(pixel),
                      biases[i].defined() ? biases[i].template const_data_ptr<A>() : nullptr});
      }
      convs_forward<T>(shape, count, rows<const T>(x).from(pixel), weights.const_data_ptr<A>(), to, scratch.get());
      if (!moments) return;
      for (std::size_t i = 0; i < outputs.size(); ++i) {
        const std::size_t place = (unit * outputs.size() + i) * channels;
        mixed_op::moments<T>(to[i].y, {0, count * image_pixels}, channels, &means[place], &squares[place], {});
      }
    });
  });
  if (moments) {
    for (std::size_t i = 0; i < outputs.size(); ++i) {
      for (std::int64_t unit = 0; unit < units.count(); ++unit) {
        const std::size_t place = (unit * outputs.size() + i) * channels;
        add_part(outputs[i].moments, std::span(means).subspan(place, channels),
                 std::span(squares).subspan(place, channels),
                 static_cast<double>(std::min(units.size, units.images - unit * units.size) * image_pixels));
      }
    }
  }
  return outputs;
}

template <class T>
std::vector<torch::Tensor> ConvStack::backward(const torch::Tensor& x, std::span<const OutputGradient> gradients,
                                               bool weights, const InputGradientSink<T>& sink) const {
  if (empty()) return {};
  if constexpr (std::is_same_v<T, Bf16>) {
    if (native_bf16()) return backward_by_library(x, gradients, weights, sink);
  }
  using A = Compute<T>;
  const at::ScalarType dtype = compute_type(x.scalar_type());
  const ConvShape shape = this->shape(x);
  const Units units(x.size(0), shape.images_at_once());
  const std::int64_t channels = shape.channels;
  const std::int64_t image_pixels = shape.height * shape.width;
  const torch::Tensor transposed = sink ? transformed(dtype, First::output_channels) : torch::Tensor();
  // [parts, transformed weights]
  torch::Tensor sums;
  if (weights) sums = torch::zeros({units.parts(), shape.transformed_weights()}, torch::TensorOptions(dtype));
  std::vector<A> coefficients;  // a, b and d of each convolution
  for (const OutputGradient& g : gradients) {
    for (const auto* part : {&g.gradient->a, &g.gradient->b, &g.gradient->d}) {
      for (std::int64_t c = 0; c < channels; ++c)
        coefficients.push_back(part->empty() ? A(0) : static_cast<A>((*part)[c]));
    }
  }
  struct Own {
    std::unique_ptr<A[]> scratch;
    std::unique_ptr<T[]> dx;
  };
  const auto make = [&, scratch = scratch_for<A>(shape, units.size)] {
    const auto numbers = static_cast<std::size_t>(sink ? units.size * image_pixels * channels : 0);
    return Own{scratch(), std::make_unique_for_overwrite<T[]>(numbers)};
  };
  units.for_each(
      make, [&](const Own& own, std::int64_t part, std::int64_t /* unit */, std::int64_t first, std::int64_t count) {
        const std::int64_t pixel = first * image_pixels;
        std::vector<ConvGradient<T>> from;
        for (std::size_t i = 0; i < gradients.size(); ++i) {
          const A* a = &coefficients[3 * i * channels];
          const bool reads_y = !gradients[i].gradient->b.empty();
          from.push_back({rows<const T>(gradients[i].g).from(pixel),
                          reads_y ? rows<const T>(gradients[i].y).from(pixel) : Rows<const T>(), a,
                          reads_y ? a + channels : nullptr, reads_y ? a + 2 * channels : nullptr});
        }
        convs_backward<T>(shape, count, rows<const T>(x).from(pixel),
                          sink ? transposed.template const_data_ptr<A>() : nullptr, from, sink ? own.dx.get() : nullptr,
                          weights ? sums.mutable_data_ptr<A>() + part * shape.transformed_weights() : nullptr,
                          own.scratch.get());
        if (sink) sink(first, count, own.dx.get());
      });
  if (!weights) return {};
  A* all = sums.mutable_data_ptr<A>();
  at::parallel_for(0, shape.transformed_weights(), 4096, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t part = 1; part < units.parts(); ++part) {
      for (std::int64_t i = begin; i < end; ++i) all[i] += all[part * shape.transformed_weights() + i];
    }
  });
  const std::int64_t count = shape.weights() / 9;
  const torch::Tensor filters = torch::empty({3, 3, channels, shape.convs, channels}, sums.options());
  for_filters(count, [&](std::int64_t begin, std::int64_t end) {
    winograd_weight_gradients(all, count, begin, end, filters.mutable_data_ptr<A>());
  });
  std::vector<torch::Tensor> result;
  for (const torch::Tensor& one : filters.permute({3, 4, 2, 0, 1}).unbind()) {
    result.push_back(one.contiguous(convs_[result.size()].weight.suggest_memory_format()));
  }
  return result;
}

torch::Tensor ConvStack::stacked_weights(at::ScalarType dtype) const {
  std::vector<torch::Tensor> weights;
  for (const Conv& conv : convs_) weights.push_back(conv.weight);
  return torch::cat(weights).to(dtype, /*non_blocking=*/false, /*copy=*/false, at::MemoryFormat::ChannelsLast);
}

std::vector<ConvStack::Output> ConvStack::forward_by_library(const torch::Tensor& x, bool moments) const {
  std::vector<Output> outputs(convs_.size());
  for (Output& output : outputs) output.y = empty_channels_last(x);
  const torch::Tensor weights = stacked_weights(x.scalar_type());
  std::vector<torch::Tensor> biases;
  for (const Conv& conv : convs_) {
    if (conv.bias.defined()) biases.push_back(conv.bias);
  }
  const torch::Tensor bias = biases.empty() ? torch::Tensor() : torch::cat(biases).to(x.scalar_type());
  for_groups(x, convs_.size(), [&](std::int64_t first, std::int64_t count) {
    const torch::Tensor all =
        channels_last(at::conv2d(torch::relu(x.narrow(0, first, count)), weights, bias, /*stride=*/1, /*padding=*/1));
    for (std::size_t c = 0; c < outputs.size(); ++c) {
      // Out of the stack on the way: what reads it later then reads memory in one piece.
      const torch::Tensor own = outputs[c].y.narrow(0, first, count);
      const std::int64_t channel = static_cast<std::int64_t>(c) * x.size(1);
      moments ? add_moments(outputs[c].moments, all, channel, x.size(1), own)
              : static_cast<void>(own.copy_(all.narrow(1, channel, x.size(1))));
    }
  });
  return outputs;
}

std::vector<torch::Tensor> ConvStack::backward_by_library(const torch::Tensor& x,
                                                          std::span<const OutputGradient> gradients, bool weights,
                                                          const InputGradientSink<Bf16>& sink) const {
  const torch::Tensor stacked = stacked_weights(x.scalar_type());
  const std::int64_t image_pixels = x.size(2) * x.size(3);
  std::vector<GradientWriter<Bf16>> writers;
  for (const OutputGradient& g : gradients) writers.emplace_back(*g.gradient);
  torch::Tensor sum;
  for_groups(x, convs_.size(), [&](std::int64_t first, std::int64_t count) {
    const torch::Tensor dy = empty_channels_last({count, stacked.size(0), x.size(2), x.size(3)}, x);
    at::parallel_for(first, first + count, 1, [&](std::int64_t begin, std::int64_t end) {
      const PixelRange pixels{begin * image_pixels, end * image_pixels};
      for (std::size_t c = 0; c < gradients.size(); ++c) {
        const bool reads_y = !gradients[c].gradient->b.empty();
        writers[c](rows<const Bf16>(gradients[c].g), {},
                   reads_y ? rows<const Bf16>(gradients[c].y) : Rows<const Bf16>(), pixels,
                   rows<Bf16>(dy, static_cast<std::int64_t>(c) * x.size(1)).from(-first * image_pixels));
      }
    });
    auto [dx, dw, db] =
        at::convolution_backward(dy, torch::relu(x.narrow(0, first, count)), stacked, at::OptionalIntArrayRef(), {1, 1},
                                 {1, 1}, {1, 1}, false, {0, 0}, 1, {static_cast<bool>(sink), weights, false});
    if (weights) sum = sum.defined() ? sum.add_(dw) : dw.to(torch::kFloat);
    if (!sink) return;
    const torch::Tensor rows = channels_last(dx);
    at::parallel_for(0, count, 1, [&](std::int64_t begin, std::int64_t end) {
      sink(first + begin, end - begin, elements<Bf16>(rows) + begin * image_pixels * x.size(1));
    });
  });
  if (!weights) return {};
  return sum.split(x.size(1));
}

template std::vector<torch::Tensor> ConvStack::backward<float>(const torch::Tensor&, std::span<const OutputGradient>,
                                                               bool, const InputGradientSink<float>&) const;
template std::vector<torch::Tensor> ConvStack::backward<double>(const torch::Tensor&, std::span<const OutputGradient>,
                                                                bool, const InputGradientSink<double>&) const;
template std::vector<torch::Tensor> ConvStack::backward<Bf16>(const torch::Tensor&, std::span<const OutputGradient>,
                                                              bool, const InputGradientSink<Bf16>&) const;

}  // namespace flowdarts::mixed_op

namespace flowdarts {
namespace {

class ReluConv3x3 : public torch::autograd::Function<ReluConv3x3> {
 public:
  static torch::Tensor forward(torch::autograd::AutogradContext* context, const torch::Tensor& x,
                               const torch::Tensor& weight) {
    context->save_for_backward({x, weight});
    return stack_of(weight).forward(mixed_op::channels_last(x.detach()), /*moments=*/false)[0].y;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list outputs) {
    TORCH_CHECK(!torch::GradMode::is_enabled(), "relu_conv3x3: its gradient is not differentiable");
    const auto saved = context->get_saved_variables();
    const torch::Tensor x = mixed_op::channels_last(saved[0]);
    const mixed_op::InputGradient as_it_is{.a = std::vector<double>(static_cast<std::size_t>(x.size(1)), 1.0)};
    const mixed_op::ConvStack::OutputGradient gradient{mixed_op::channels_last(outputs[0]), {}, &as_it_is};
    torch::autograd::variable_list result(2);
    mixed_op::with_type(x.scalar_type(), [&]<class T>() {
      mixed_op::ConvStack::InputGradientSink<T> sink;
      if (context->needs_input_grad(0)) {
        result[0] = mixed_op::empty_channels_last(x);
        sink = [&](std::int64_t first, std::int64_t count, const T* dx) {
          const std::int64_t pixels = x.size(2) * x.size(3);
          const mixed_op::Rows<const T> here{dx, x.size(1)};
          // dx counts where x > 0.
          const std::array<mixed_op::Rows<const T>, 1> gated{here.from(-first * pixels)};
          mixed_op::weighted_sum<T>({}, nullptr, gated, mixed_op::rows<const T>(x),
                                    {first * pixels, (first + count) * pixels}, x.size(1), mixed_op::rows<T>(result[0]),
                                    {});
        };
      }
      const bool weights = context->needs_input_grad(1);
      auto gradients = stack_of(saved[1]).backward<T>(x, std::span(&gradient, 1), weights, sink);
      if (weights) result[1] = gradients[0];
    });
    return result;
  }

 private:
  static mixed_op::ConvStack stack_of(const torch::Tensor& weight) {
    return mixed_op::ConvStack({{weight.detach(), torch::Tensor()}});
  }
};

}  // namespace

torch::Tensor relu_conv3x3(const torch::Tensor& x, const torch::Tensor& weight) {
  mixed_op::check_activations("relu_conv3x3", x, /*takes_gpu=*/false);
  TORCH_CHECK(weight.dim() == 4 && weight.size(1) == x.size(1), "relu_conv3x3: expected weights [", x.size(1), ", ",
              x.size(1), ", 3, 3], found ", weight.sizes());
  return ReluConv3x3::apply(x, weight);
}

}  // namespace flowdarts
