#include <algorithm>
#include <cstring>
#include <flowdarts/stages/load/resident_dataset.hpp>
#ifdef FLOWDARTS_CUDA
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <cuda_runtime_api.h>

#include <flowdarts/stages/load/augment_cuda.hpp>
#endif

namespace flowdarts {
namespace {

std::int64_t image_bytes(const Dataset& dataset) {
  return std::int64_t{3} * dataset.geometry().size * dataset.geometry().size;
}

void augment_on_cpu(const torch::Tensor& images, const Batch& batch, const torch::Tensor& normalised,
                    const torch::Tensor& out) {
  const std::int64_t bytes = images.stride(0);
  auto* target = out.mutable_data_ptr<float>();
  for (const Crop& crop : batch.crops) {
    const std::uint8_t* image = images.const_data_ptr<std::uint8_t>() + crop.sample * bytes;
    for (int y = 0; y < batch.height; ++y) {
      for (int x = 0; x < batch.width; ++x, target += 3) {
        float rgb[3];
        crop_pixel(image, batch.width, crop, normalised.const_data_ptr<float>(), x, y, rgb);
        std::memcpy(target, rgb, sizeof(rgb));
      }
    }
  }
}

#ifdef FLOWDARTS_CUDA
void augment_on_gpu(const torch::Tensor& images, const Batch& batch, const torch::Tensor& normalised,
                    const torch::Tensor& out) {
  const torch::Device device = images.device();
  const c10::cuda::CUDAGuard guard(device);
  const auto count = static_cast<std::int64_t>(batch.crops.size());
  const torch::Tensor crops =
      copy_to_device(batch.crops.data(), {count * std::int64_t{sizeof(Crop)}}, torch::kByte, device);
  const DeviceImages from{images.const_data_ptr<std::uint8_t>(), normalised.const_data_ptr<float>(), batch.width};
  const auto* first = static_cast<const Crop*>(crops.const_data_ptr());
  void* stream = c10::cuda::getCurrentCUDAStream(device.index()).stream();
  const std::string failure =
      out.scalar_type() == torch::kBFloat16
          ? augment_cuda(from, first, count, static_cast<mixed_op::Bf16*>(out.mutable_data_ptr()), stream)
          : augment_cuda(from, first, count, out.mutable_data_ptr<float>(), stream);
  TORCH_CHECK(failure.empty(), failure);
}
#endif

}  // namespace

std::string ResidentDataset::obstacle(const Dataset& dataset, const Augmentation& augmentation,
                                      const torch::Device& device) {
  if (!dataset.geometry().fixed) return "their sizes vary";
  if (!dataset.in_memory()) return "they are in files of their own";
  if (augmentation.alters_colours()) return "their colours are altered";
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
  normalised_ = copy_to_device(augmentation.normalised().data(), {3, 256}, torch::kFloat, device);
}

DeviceBatch ResidentDataset::augment(const Batch& batch) const {
  const auto count = static_cast<std::int64_t>(batch.crops.size());
  TORCH_CHECK(batch.crops.size() == batch.ids.size() && batch.width == images_.size(2),
              "resident data set: expected the crops of ", batch.ids.size(), " images of ", images_.size(2),
              " pixels a side, found ", count, " of ", batch.width);
  torch::Tensor out = torch::empty({count, 3, batch.height, batch.width}, images_.options().dtype(type_),
                                   torch::MemoryFormat::ChannelsLast);
#ifdef FLOWDARTS_CUDA
  if (images_.is_cuda()) augment_on_gpu(images_, batch, normalised_, out);
#endif
  if (images_.is_cpu()) {
    const torch::Tensor exact = type_ == torch::kFloat ? out : torch::empty_like(out, torch::kFloat);
    augment_on_cpu(images_, batch, normalised_, exact);
    if (type_ != torch::kFloat) out.copy_(exact);
  }
  return {std::move(out), copy_to_device(batch.labels.data(), {count}, torch::kLong, images_.device()),
          batch.share.part};
}

}  // namespace flowdarts
