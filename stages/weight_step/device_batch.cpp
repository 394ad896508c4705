#include <flowdarts/stages/weight_step/device_batch.hpp>

namespace flowdarts {

DeviceBatch to_device(const Batch& batch, const torch::Device& device) {
  const auto count = static_cast<std::int64_t>(batch.ids.size());
  // from_blob views memory that is not const; the views end here.
  const torch::Tensor images =
      torch::from_blob(const_cast<float*>(batch.images.data()), {count, 3, batch.height, batch.width}, torch::kFloat);
  const torch::Tensor labels = torch::from_blob(const_cast<std::int64_t*>(batch.labels.data()), {count}, torch::kLong);
  return {images.to(device).clone(torch::MemoryFormat::ChannelsLast), labels.to(device).clone()};
}

}  // namespace flowdarts
