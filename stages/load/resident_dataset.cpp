#include <algorithm>
#include <cstring>
#include <flowdarts/stages/load/augment_on_device.hpp>
#include <flowdarts/stages/load/resident_dataset.hpp>
#ifdef FLOWDARTS_CUDA
#include <c10/cuda/CUDAGuard.h>
#include <cuda_runtime_api.h>
#endif

namespace flowdarts {
namespace {

std::int64_t image_bytes(const Dataset& dataset) {
  return std::int64_t{3} * dataset.geometry().size * dataset.geometry().size;
}

}  // namespace

std::string ResidentDataset::obstacle(const Dataset& dataset, const Augmentation& augmentation,
                                      const torch::Device& device) {
  if (!dataset.geometry().fixed) return "their sizes vary";
  if (!dataset.in_memory()) return "they are in files of their own";
  if (augmentation.has_rand_augment()) return "RandAugment changes them on the CPU";
  if (device.is_cpu()) return {};
#ifdef FLOWDARTS_CUDA
  const c10::cuda::CUDAGuard guard(device);
  std::size_t free = 0, total = 0;
  if (cudaMemGetInfo(&free, &total) != cudaSuccess) return "the free memory of the GPU is not known";
  const auto needed = static_cast<std::size_t>(dataset.size() * image_bytes(dataset));
  if (needed <= free / 2) return {};
  return "they take " + std::to_string(needed >> 20U) + " MiB, expected at most half of the " +
         std::to_string(free >> 20U) + " MiB that are free on the GPU";
#else
  return "this build has no kernels for a GPU";
#endif
}

ResidentDataset::ResidentDataset(const Dataset& dataset, const Augmentation& augmentation, const torch::Device& device,
                                 at::ScalarType type)
    : type_(type) {
  const std::string reason = obstacle(dataset, augmentation, device);
  TORCH_CHECK(reason.empty(), "data set ", dataset.name(), ": its images cannot live on ", device, ": ", reason);
  TORCH_CHECK(type == torch::kFloat || type == torch::kBFloat16,
              "resident data set: expected images in Float or BFloat16, found ", type);
  const std::int64_t size = dataset.geometry().size, samples = dataset.size(), bytes = image_bytes(dataset);
  images_ = torch::empty({samples, size, size, 3}, torch::TensorOptions(torch::kByte).device(device));
  // A part at a time: the data set may hold its images in fewer bytes.
  constexpr std::int64_t part = 4096;
  Image image;
  for (std::int64_t begin = 0; begin < samples; begin += part) {
    const std::int64_t count = std::min(part, samples - begin);
    const torch::Tensor host = torch::empty({count, size, size, 3}, torch::kByte);
    for (std::int64_t i = 0; i < count; ++i) {
      dataset.decode(begin + i, image);
      std::memcpy(host.mutable_data_ptr<std::uint8_t>() + i * bytes, image.pixels.data(),
                  static_cast<std::size_t>(bytes));
    }
    images_.narrow(0, begin, count).copy_(host);
  }
}

DeviceBatch ResidentDataset::augment(const Batch& batch) const {
  const auto count = static_cast<std::int64_t>(batch.crops.size());
  TORCH_CHECK(batch.crops.size() == batch.ids.size() && batch.pixels.empty() && batch.width == images_.size(2),
              "resident data set: expected the crops of ", batch.ids.size(), " images of ", images_.size(2),
              " pixels a side, found ", count, " of ", batch.width);
  return {augment_on_device(images_, batch.crops, batch.normalisation, type_),
          copy_to_device(batch.labels.data(), {count}, torch::kLong, images_.device()), batch.share.part};
}

}  // namespace flowdarts
