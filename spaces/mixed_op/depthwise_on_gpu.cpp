#include <flowdarts/spaces/mixed_op/depthwise_cuda.hpp>
#include <flowdarts/spaces/mixed_op/depthwise_on_gpu.hpp>
#include <flowdarts/spaces/mixed_op/device_rows.hpp>
#include <flowdarts/spaces/mixed_op/tensors.hpp>

namespace flowdarts::mixed_op {
namespace {

using torch::Tensor;

DeviceConvolution device_shape(const Tensor& x, const DepthwiseShape& shape) {
  const DeviceConvolution device{.images = x.size(0),
                                 .height = shape.height,
                                 .width = shape.width,
                                 .channels = shape.channels,
                                 .out_height = shape.out_height(),
                                 .out_width = shape.out_width(),
                                 .multiplier = shape.multiplier,
                                 .kernel = shape.kernel,
                                 .stride = shape.stride,
                                 .padding = shape.padding,
                                 .dilation = shape.dilation,
                                 .relu_input = shape.relu_input};
  check_pixels("depthwise_conv2d", device);
  return device;
}

}  // namespace

Tensor depthwise_on_gpu(const Tensor& x, const Tensor& taps, const DepthwiseShape& shape) {
  const DeviceConvolution device = device_shape(x, shape);
  const DeviceStream stream(x);
  Tensor out = empty_channels_last({x.size(0), shape.out_channels(), shape.out_height(), shape.out_width()}, x);
  with_type(x.scalar_type(), [&]<class T>() {
    stream.check(
        depthwise_cuda(elements<T>(x), elements<Compute<T>>(taps), device, mutable_elements<T>(out), stream.handle()));
  });
  return out;
}

Tensor depthwise_input_gradient_on_gpu(const Tensor& g, const Tensor& x, const Tensor& taps,
                                       const DepthwiseShape& shape) {
  const DeviceConvolution device = device_shape(x, shape);
  const DeviceStream stream(x);
  Tensor dx = empty_channels_last(x.sizes(), x);
  with_type(x.scalar_type(), [&]<class T>() {
    stream.check(depthwise_input_gradient_cuda(elements<T>(g), elements<T>(x), elements<Compute<T>>(taps), device,
                                               mutable_elements<T>(dx), stream.handle()));
  });
  return dx;
}

Tensor depthwise_weight_gradient_on_gpu(const Tensor& g, const Tensor& x, const DepthwiseShape& shape) {
  const DeviceConvolution device = device_shape(x, shape);
  const DeviceStream stream(x);
  const auto type = x.scalar_type() == torch::kDouble ? torch::kDouble : torch::kFloat;
  Tensor dweight = torch::empty({shape.out_channels(), 1, shape.kernel, shape.kernel}, x.options().dtype(type));
  const Tensor scratch =
      torch::empty({static_cast<std::int64_t>(depthwise_scratch(device))}, x.options().dtype(torch::kByte));
  with_type(x.scalar_type(), [&]<class T>() {
    stream.check(depthwise_weight_gradient_cuda(elements<T>(g), elements<T>(x), device, scratch.mutable_data_ptr(),
                                                mutable_elements<Compute<T>>(dweight), stream.handle()));
  });
  return dweight;
}

}  // namespace flowdarts::mixed_op
