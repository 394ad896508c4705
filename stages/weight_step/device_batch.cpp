#include <array>
#include <flowdarts/stages/load/augment_on_device.hpp>
#include <flowdarts/stages/weight_step/device_batch.hpp>

namespace flowdarts {
namespace {

// from_blob views memory that is not const; nothing writes to these views.
torch::Tensor view(const void* data, torch::IntArrayRef sizes, at::ScalarType type) {
  return torch::from_blob(const_cast<void*>(data), sizes, type);
}

torch::Tensor on_device(const void* data, torch::IntArrayRef sizes, at::ScalarType type, const torch::Device& device) {
  return device.is_cpu() ? view(data, sizes, type) : copy_to_device(data, sizes, type, device);
}

torch::Tensor images_on_device(const Batch& batch, const torch::Device& device, at::ScalarType type) {
  const auto count = static_cast<std::int64_t>(batch.ids.size());
  if (batch.crops.empty()) {
    return on_device(batch.images.data(), {count, 3, batch.height, batch.width}, torch::kFloat, device)
        .to(type, /*non_blocking=*/false, /*copy=*/true, torch::MemoryFormat::ChannelsLast);
  }
  TORCH_CHECK(!batch.pixels.empty(), "batch: the images of its crops live on a device (ResidentDataset)");
  return augment_on_device(on_device(batch.pixels.data(), {count, batch.height, batch.width, 3}, torch::kByte, device),
                           batch.crops, batch.normalisation, type);
}

}  // namespace

DeviceBatch to_device(const Batch& batch, const torch::Device& device, at::ScalarType type) {
  const auto count = static_cast<std::int64_t>(batch.ids.size());
  return {images_on_device(batch, device, type), copy_to_device(batch.labels.data(), {count}, torch::kLong, device),
          batch.share.part};
}

torch::Tensor copy_to_device(const void* data, torch::IntArrayRef sizes, at::ScalarType type,
                             const torch::Device& device) {
  const torch::Tensor host = view(data, sizes, type);
  // Only memory that is pinned stays as it is until the copy is done, whoever frees it.
  const bool asynchronous = device.is_cuda() && host.is_pinned();
  return host.to(host.options().device(device), asynchronous, /*copy=*/true);
}

}  // namespace flowdarts
