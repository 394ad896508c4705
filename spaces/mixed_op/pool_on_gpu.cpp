#include <flowdarts/spaces/mixed_op/device_rows.hpp>
#include <flowdarts/spaces/mixed_op/pool_on_gpu.hpp>
#include <flowdarts/spaces/mixed_op/tensors.hpp>

namespace flowdarts::mixed_op {
namespace {

using torch::Tensor;

Tensor empty_result(const Tensor& x, const DevicePool& shape) {
  return empty_channels_last({shape.images, shape.channels, shape.out_height, shape.out_width}, x);
}

Tensor empty_gradient(const Tensor& g, const DevicePool& shape) {
  return empty_channels_last({shape.images, shape.channels, shape.height, shape.width}, g);
}

}  // namespace

DevicePool device_pool(const Tensor& x, const PoolGeometry& geometry) {
  const DevicePool device{.images = x.size(0),
                          .height = geometry.height,
                          .width = geometry.width,
                          .channels = x.size(1),
                          .out_height = geometry.out_height(),
                          .out_width = geometry.out_width(),
                          .kernel = geometry.kernel,
                          .stride = geometry.stride,
                          .padding = geometry.padding};
  check_pixels("pool", device);
  return device;
}

Tensor average_pool_on_gpu(const Tensor& x, const PoolGeometry& geometry) {
  const DevicePool shape = device_pool(x, geometry);
  const DeviceStream stream(x);
  Tensor out = empty_result(x, shape);
  with_type(x.scalar_type(), [&]<class T>() {
    stream.check(average_pool_cuda(elements<T>(x), shape, mutable_elements<T>(out), stream.handle()));
  });
  return out;
}

Tensor average_pool_gradient_on_gpu(const Tensor& g, const PoolGeometry& geometry) {
  const DevicePool shape = device_pool(g, geometry);
  const DeviceStream stream(g);
  Tensor dx = empty_gradient(g, shape);
  with_type(g.scalar_type(), [&]<class T>() {
    stream.check(average_pool_gradient_cuda(elements<T>(g), shape, mutable_elements<T>(dx), stream.handle()));
  });
  return dx;
}

std::pair<Tensor, Tensor> max_pool_on_gpu(const Tensor& x, const PoolGeometry& geometry) {
  const DevicePool shape = device_pool(x, geometry);
  const DeviceStream stream(x);
  Tensor out = empty_result(x, shape);
  Tensor chosen = torch::empty_like(out, out.options().dtype(torch::kByte));
  with_type(x.scalar_type(), [&]<class T>() {
    stream.check(max_pool_cuda(elements<T>(x), shape, mutable_elements<T>(out), chosen.mutable_data_ptr<std::uint8_t>(),
                               stream.handle()));
  });
  return {out, chosen};
}

Tensor max_pool_gradient_on_gpu(const Tensor& g, const Tensor& chosen, const PoolGeometry& geometry) {
  const DevicePool shape = device_pool(g, geometry);
  const DeviceStream stream(g);
  Tensor dx = empty_gradient(g, shape);
  with_type(g.scalar_type(), [&]<class T>() {
    stream.check(max_pool_gradient_cuda(elements<T>(g), chosen.const_data_ptr<std::uint8_t>(), shape,
                                        mutable_elements<T>(dx), stream.handle()));
  });
  return dx;
}

}  // namespace flowdarts::mixed_op
