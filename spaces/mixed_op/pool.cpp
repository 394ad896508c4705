#include <flowdarts/spaces/mixed_op/pool.hpp>

#include <flowdarts/spaces/mixed_op/pool_kernels.hpp>
#include <flowdarts/spaces/mixed_op/tensors.hpp>

#include <ATen/Parallel.h>

#include <vector>

namespace flowdarts {
namespace {

using mixed_op::elements;
using mixed_op::mutable_elements;
using mixed_op::PoolGeometry;
using torch::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

void check(std::string_view op, const Tensor& x, const PoolOptions& options) {
  mixed_op::check_activations(op, x);
  TORCH_CHECK(options.kernel >= 1 && options.kernel <= mixed_op::max_pool_kernel && options.stride >= 1 &&
                  options.padding >= 0 && options.padding <= options.kernel / 2,
              op, ": expected a kernel from 1 to ", mixed_op::max_pool_kernel,
              ", a stride of at least 1 and a padding from 0 to kernel / 2, found ", options.kernel, ", ",
              options.stride, ", ", options.padding);
  TORCH_CHECK(x.size(1) > 0 && x.size(2) > 0 && x.size(3) > 0 && x.size(2) + 2 * options.padding >= options.kernel &&
                  x.size(3) + 2 * options.padding >= options.kernel,
              op, ": expected an input whose padded height and width are at least ", options.kernel, ", found ",
              x.sizes(), " padded by ", options.padding);
}

// What the backward pass needs to know of the forward pass besides the input.
struct Shape {
  std::int64_t images, channels;
  PoolGeometry geometry;

  Shape(torch::IntArrayRef sizes, const PoolOptions& options)
      : images(sizes[0]),
        channels(sizes[1]),
        geometry{sizes[2], sizes[3], options.kernel, options.stride, options.padding} {}

  explicit Shape(const std::vector<std::int64_t>& saved)
      : images(saved[0]), channels(saved[1]), geometry{saved[2], saved[3], saved[4], saved[5], saved[6]} {}

  [[nodiscard]] std::vector<std::int64_t> saved() const {
    return {images, channels, geometry.height, geometry.width, geometry.kernel, geometry.stride, geometry.padding};
  }
  [[nodiscard]] std::vector<std::int64_t> in_sizes() const {
    return {images, channels, geometry.height, geometry.width};
  }
  [[nodiscard]] std::vector<std::int64_t> out_sizes() const {
    return {images, channels, geometry.out_height(), geometry.out_width()};
  }

  // Calls f(first element of the image in x, the same in the output) for each image, on all threads.
  template <class F>
  void for_images(const F& f) const {
    const std::int64_t in_size = geometry.height * geometry.width * channels;
    const std::int64_t out_size = geometry.out_height() * geometry.out_width() * channels;
    at::parallel_for(0, images, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t image = begin; image < end; ++image) f(image * in_size, image * out_size);
    });
  }
};

class AveragePool : public torch::autograd::Function<AveragePool> {
 public:
  static Tensor forward(AutogradContext* context, const Tensor& input, const PoolOptions& options) {
    const Tensor x = input.contiguous(torch::MemoryFormat::ChannelsLast);
    const Shape shape(x.sizes(), options);
    Tensor out = mixed_op::empty_channels_last(shape.out_sizes(), x);
    mixed_op::with_type(x.scalar_type(), [&]<class T>() {
      shape.for_images([&](std::int64_t in, std::int64_t to) {
        mixed_op::average_pool(elements<T>(x) + in, shape.geometry, shape.channels, mutable_elements<T>(out) + to);
      });
    });
    context->saved_data["shape"] = shape.saved();
    return out;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    TORCH_CHECK(!torch::GradMode::is_enabled(), "average_pool2d: its gradient is not differentiable");
    const Shape shape(context->saved_data["shape"].toIntVector());
    const Tensor g = gradients[0].contiguous(torch::MemoryFormat::ChannelsLast);
    Tensor dx = mixed_op::empty_channels_last(shape.in_sizes(), g);
    mixed_op::with_type(g.scalar_type(), [&]<class T>() {
      shape.for_images([&](std::int64_t in, std::int64_t to) {
        mixed_op::average_pool_backward(elements<T>(g) + to, shape.geometry, shape.channels,
                                        mutable_elements<T>(dx) + in);
      });
    });
    return {dx, Tensor()};
  }
};

class MaxPool : public torch::autograd::Function<MaxPool> {
 public:
  static Tensor forward(AutogradContext* context, const Tensor& input, const PoolOptions& options) {
    const Tensor x = input.contiguous(torch::MemoryFormat::ChannelsLast);
    const Shape shape(x.sizes(), options);
    Tensor out = mixed_op::empty_channels_last(shape.out_sizes(), x);
    mixed_op::with_type(x.scalar_type(), [&]<class T>() {
      shape.for_images([&](std::int64_t in, std::int64_t to) {
        mixed_op::max_pool(elements<T>(x) + in, shape.geometry, shape.channels, mutable_elements<T>(out) + to);
      });
    });
    context->save_for_backward({x});
    context->saved_data["shape"] = shape.saved();
    return out;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    TORCH_CHECK(!torch::GradMode::is_enabled(), "max_pool2d: its gradient is not differentiable");
    const Shape shape(context->saved_data["shape"].toIntVector());
    const Tensor x = context->get_saved_variables()[0];
    const Tensor g = gradients[0].contiguous(torch::MemoryFormat::ChannelsLast);
    Tensor dx = mixed_op::empty_channels_last(shape.in_sizes(), g);
    mixed_op::with_type(x.scalar_type(), [&]<class T>() {
      shape.for_images([&](std::int64_t in, std::int64_t to) {
        mixed_op::max_pool_backward(elements<T>(g) + to, elements<T>(x) + in, shape.geometry, shape.channels,
                                    mutable_elements<T>(dx) + in);
      });
    });
    return {dx, Tensor()};
  }
};

}  // namespace

Tensor average_pool2d(const Tensor& x, const PoolOptions& options) {
  check("average_pool2d", x, options);
  return AveragePool::apply(x, options);
}

Tensor max_pool2d(const Tensor& x, const PoolOptions& options) {
  check("max_pool2d", x, options);
  return MaxPool::apply(x, options);
}

}  // namespace flowdarts
