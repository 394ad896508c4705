#include <flowdarts/spaces/mixed_op/depthwise.hpp>

#include <flowdarts/spaces/mixed_op/depthwise_kernels.hpp>
#include <flowdarts/spaces/mixed_op/tensors.hpp>

#include <ATen/Parallel.h>

#include <algorithm>
#include <vector>

#ifdef FLOWDARTS_CUDA
#include <flowdarts/spaces/mixed_op/depthwise_on_gpu.hpp>
#endif

namespace flowdarts {
namespace {

#ifdef FLOWDARTS_CUDA
constexpr bool takes_gpu = true;
#else
constexpr bool takes_gpu = false;
#endif

using mixed_op::Compute;
using mixed_op::DepthwiseShape;
using mixed_op::RowRange;
using torch::Tensor;

constexpr std::int64_t task_size = 32768;  // outputs that are worth a thread
constexpr std::int64_t part_rows = 8;      // a part of the weight gradient's sum has at least so many rows
constexpr std::int64_t max_parts = 64;

DepthwiseShape shape_of(const Tensor& x, const Tensor& weight, const DepthwiseOptions& options) {
  return {.height = x.size(2),
          .width = x.size(3),
          .channels = x.size(1),
          .multiplier = weight.size(0) / x.size(1),
          .kernel = weight.size(2),
          .stride = options.stride,
          .padding = options.padding,
          .dilation = options.dilation,
          .relu_input = options.relu_input};
}

void check(const Tensor& x, const Tensor& weight, const DepthwiseOptions& options) {
  mixed_op::check_activations("depthwise_conv2d", x, takes_gpu);
  TORCH_CHECK(weight.defined() && weight.device() == x.device(), "depthwise_conv2d: expected a weight on ", x.device());
  TORCH_CHECK(weight.scalar_type() == x.scalar_type() ||
                  (x.scalar_type() == torch::kBFloat16 && weight.scalar_type() == torch::kFloat),
              "depthwise_conv2d: expected a weight of the input's type, ", x.scalar_type(),
              " (or Float for BFloat16), found ", weight.scalar_type());
  TORCH_CHECK(x.size(1) > 0 && weight.dim() == 4 && weight.size(0) > 0 && weight.size(0) % x.size(1) == 0 &&
                  weight.size(1) == 1 && weight.size(2) == weight.size(3) && weight.size(2) > 0,
              "depthwise_conv2d: expected a weight [channels * multiplier, 1, k, k] for ", x.size(1),
              " channels, found ", weight.sizes());
  TORCH_CHECK(options.stride >= 1 && options.padding >= 0 && options.dilation >= 1,
              "depthwise_conv2d: expected stride and dilation of at least 1, padding of at least 0, found ",
              options.stride, ", ", options.dilation, ", ", options.padding);
  const std::int64_t reach = (weight.size(2) - 1) * options.dilation + 1;
  TORCH_CHECK(x.size(2) > 0 && x.size(3) > 0 && x.size(2) + 2 * options.padding >= reach &&
                  x.size(3) + 2 * options.padding >= reach,
              "depthwise_conv2d: expected an input whose padded height and width are at least ", reach, ", found ",
              x.sizes(), " padded by ", options.padding);
}

// Calls f(rows) for parts of all rows of `images`, on all threads.
template <class F>
void for_rows_in_parallel(std::int64_t images, std::int64_t height, std::int64_t row_size, const F& f) {
  at::parallel_for(0, images * height, std::max<std::int64_t>(1, task_size / row_size),
                   [&](std::int64_t begin, std::int64_t end) {
                     f(RowRange{begin, end});
                   });
}

// [C * m, 1, k, k] to [k * k, C * m] in the type sums are taken in.
Tensor tap_major(const Tensor& weight) {
  const auto type = weight.scalar_type() == torch::kDouble ? torch::kDouble : torch::kFloat;
  return weight.detach().to(type).reshape({weight.size(0), -1}).t().contiguous();
}

Tensor input_gradient(const Tensor& g, const Tensor& x, const Tensor& weight, const DepthwiseShape& shape) {
#ifdef FLOWDARTS_CUDA
  if (x.is_cuda()) return mixed_op::depthwise_input_gradient_on_gpu(g, x, tap_major(weight), shape);
#endif
  Tensor dx = mixed_op::empty_channels_last(x.sizes(), x);
  const Tensor taps = tap_major(weight);
  mixed_op::with_type(x.scalar_type(), [&]<class T>() {
    for_rows_in_parallel(x.size(0), shape.height, shape.width * shape.channels, [&](RowRange rows) {
      mixed_op::depthwise_input_gradient(mixed_op::elements<T>(g), mixed_op::elements<T>(x),
                                         mixed_op::elements<Compute<T>>(taps), shape, rows,
                                         mixed_op::mutable_elements<T>(dx));
    });
  });
  return dx;
}

Tensor weight_gradient(const Tensor& g, const Tensor& x, const Tensor& weight, const DepthwiseShape& shape) {
#ifdef FLOWDARTS_CUDA
  if (x.is_cuda()) return mixed_op::depthwise_weight_gradient_on_gpu(g, x, shape).to(weight.scalar_type());
#endif
  const std::int64_t size = shape.taps() * shape.out_channels();
  // Parts depend on shapes alone and are added in their order: the same sum for any number of threads.
  const std::int64_t rows = x.size(0) * shape.out_height();
  const std::int64_t parts = std::clamp<std::int64_t>(rows / part_rows, 1, max_parts);
  std::vector<double> sums(static_cast<std::size_t>(parts * size), 0.0);
  mixed_op::with_type(x.scalar_type(), [&]<class T>() {
    at::parallel_for(0, parts, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t part = begin; part < end; ++part) {
        const RowRange own{part * rows / parts, (part + 1) * rows / parts};
        mixed_op::depthwise_weight_gradient(mixed_op::elements<T>(g), mixed_op::elements<T>(x), shape, own,
                                            sums.data() + part * size);
      }
    });
  });
  for (std::int64_t part = 1; part < parts; ++part) {
    for (std::int64_t i = 0; i < size; ++i)
      sums[static_cast<std::size_t>(i)] += sums[static_cast<std::size_t>(part * size + i)];
  }
  return torch::from_blob(sums.data(), {shape.taps(), shape.out_channels()}, torch::kDouble)
      .t()
      .to(weight.scalar_type(), /*non_blocking=*/false, /*copy=*/true, torch::MemoryFormat::Contiguous)
      .view(weight.sizes());
}

Tensor convolve(const Tensor& x, const Tensor& weight, const DepthwiseShape& shape) {
#ifdef FLOWDARTS_CUDA
  if (x.is_cuda()) return mixed_op::depthwise_on_gpu(x, tap_major(weight), shape);
#endif
  Tensor out =
      mixed_op::empty_channels_last({x.size(0), shape.out_channels(), shape.out_height(), shape.out_width()}, x);
  const Tensor taps = tap_major(weight);
  mixed_op::with_type(x.scalar_type(), [&]<class T>() {
    for_rows_in_parallel(x.size(0), shape.out_height(), shape.out_width() * shape.out_channels(), [&](RowRange rows) {
      mixed_op::depthwise(mixed_op::elements<T>(x), mixed_op::elements<Compute<T>>(taps), shape, rows,
                          mixed_op::mutable_elements<T>(out));
    });
  });
  return out;
}

class DepthwiseConvolution : public torch::autograd::Function<DepthwiseConvolution> {
 public:
  static Tensor forward(torch::autograd::AutogradContext* context, const Tensor& input, const Tensor& weight,
                        const DepthwiseOptions& options) {
    const Tensor x = input.contiguous(torch::MemoryFormat::ChannelsLast);
    Tensor out = convolve(x, weight, shape_of(x, weight, options));
    context->save_for_backward({x, weight});
    context->saved_data["stride"] = options.stride;
    context->saved_data["padding"] = options.padding;
    context->saved_data["dilation"] = options.dilation;
    context->saved_data["relu_input"] = options.relu_input;
    return out;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& gradients) {
    TORCH_CHECK(!torch::GradMode::is_enabled(), "depthwise_conv2d: its gradient is not differentiable");
    const auto saved = context->get_saved_variables();
    const Tensor &x = saved[0], &weight = saved[1];
    const DepthwiseShape shape = shape_of(x, weight,
                                          {.stride = context->saved_data["stride"].toInt(),
                                           .padding = context->saved_data["padding"].toInt(),
                                           .dilation = context->saved_data["dilation"].toInt(),
                                           .relu_input = context->saved_data["relu_input"].toBool()});
    const Tensor g = gradients[0].contiguous(torch::MemoryFormat::ChannelsLast);
    Tensor dx, dweight;
    if (context->needs_input_grad(0)) dx = input_gradient(g, x, weight, shape);
    if (context->needs_input_grad(1)) dweight = weight_gradient(g, x, weight, shape);
    return {dx, dweight, Tensor()};
  }
};

}  // namespace

Tensor depthwise_conv2d(const Tensor& x, const Tensor& weight, const DepthwiseOptions& options) {
  check(x, weight, options);
  return DepthwiseConvolution::apply(x, weight, options);
}

}  // namespace flowdarts
