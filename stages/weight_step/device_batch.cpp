#include <array>
#include <flowdarts/stages/weight_step/device_batch.hpp>

namespace flowdarts {
namespace {

// from_blob views memory that is not const; nothing writes to these views.
torch::Tensor view(const void* data, torch::IntArrayRef sizes, at::ScalarType type) {
  return torch::from_blob(const_cast<void*>(data), sizes, type);
}

}  // namespace

DeviceBatch to_device(const Batch& batch, const torch::Device& device) {
  const auto count = static_cast<std::int64_t>(batch.ids.size());
  const std::array<std::int64_t, 4> sizes{count, 3, batch.height, batch.width};
  const torch::Tensor images = device.is_cpu() ? view(batch.images.data(), sizes, torch::kFloat)
                                               : copy_to_device(batch.images.data(), sizes, torch::kFloat, device);
  return {images.clone(torch::MemoryFormat::ChannelsLast),
          copy_to_device(batch.labels.data(), {count}, torch::kLong, device), batch.share.part};
}

torch::Tensor copy_to_device(const void* data, torch::IntArrayRef sizes, at::ScalarType type,
                             const torch::Device& device) {
  const torch::Tensor host = view(data, sizes, type);
  // Only memory that is pinned stays as it is until the copy is done, whoever frees it.
  const bool asynchronous = device.is_cuda() && host.is_pinned();
  return host.to(host.options().device(device), asynchronous, /*copy=*/true);
}

}  // namespace flowdarts
