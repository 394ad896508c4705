#include <array>
#include <flowdarts/stages/load/augment_on_device.hpp>
#include <flowdarts/stages/weight_step/device_batch.hpp>
#ifdef FLOWDARTS_CUDA
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

#include <flowdarts/stages/load/augment_cuda.hpp>
#endif

namespace flowdarts {
namespace {

void augment_on_cpu(const torch::Tensor& images, const BatchArray<Crop>& crops, const Normalisation& normalisation,
                    const torch::Tensor& out) {
  std::array<float, std::size_t{3} * 256> normalised{};
  for (std::size_t i = 0; i < normalised.size(); ++i) {
    normalised[i] =
        normalised_value(static_cast<int>(i % 256), normalisation.mean[i / 256], normalisation.std[i / 256]);
  }
  const int size = static_cast<int>(images.size(1)), pixels = size * size;
  auto* target = out.mutable_data_ptr<float>();
  for (const Crop& crop : crops) {
    const std::uint8_t* image = images.const_data_ptr<std::uint8_t>() + crop.sample * images.stride(0);
    int mean_grey = 0;
    if (contrast_place(crop.colours) < crop.colours.count) {
      mean_grey = mean_of_greys(sum_of_greys(image, size, crop, 0, 1), pixels);
    }
    for (int i = 0; i < pixels; ++i, target += 3) {
      float rgb[3];
      augmented_pixel(image, size, crop, mean_grey, normalised.data(), i % size, i / size, rgb);
      std::ranges::copy(rgb, target);
    }
  }
}

#ifdef FLOWDARTS_CUDA
void augment_on_gpu(const torch::Tensor& images, const BatchArray<Crop>& crops, const Normalisation& normalisation,
                    const torch::Tensor& out) {
  const torch::Device device = images.device();
  const c10::cuda::CUDAGuard guard(device);
  const auto count = static_cast<std::int64_t>(crops.size());
  const torch::Tensor copied = copy_to_device(crops.data(), {count * std::int64_t{sizeof(Crop)}}, torch::kByte, device);
  DeviceImages from{.images = images.const_data_ptr<std::uint8_t>(), .size = static_cast<int>(images.size(1))};
  std::ranges::copy(normalisation.mean, from.mean);
  std::ranges::copy(normalisation.std, from.std);
  const auto* first = static_cast<const Crop*>(copied.const_data_ptr());
  void* stream = c10::cuda::getCurrentCUDAStream(device.index()).stream();
  const std::string failure =
      out.scalar_type() == torch::kBFloat16
          ? augment_cuda(from, first, count, static_cast<mixed_op::Bf16*>(out.mutable_data_ptr()), stream)
          : augment_cuda(from, first, count, out.mutable_data_ptr<float>(), stream);
  TORCH_CHECK(failure.empty(), failure);
}
#endif

}  // namespace

torch::Tensor augment_on_device(const torch::Tensor& images, const BatchArray<Crop>& crops,
                                const Normalisation& normalisation, at::ScalarType type) {
  TORCH_CHECK(type == torch::kFloat || type == torch::kBFloat16, "augmentation: expected images in Float or BFloat16, ",
              "found ", type);
  const std::int64_t size = images.size(1);
  torch::Tensor out = torch::empty({static_cast<std::int64_t>(crops.size()), 3, size, size},
                                   images.options().dtype(type), torch::MemoryFormat::ChannelsLast);
  if (images.is_cpu()) {
    const torch::Tensor exact = type == torch::kFloat ? out : torch::empty_like(out, torch::kFloat);
    augment_on_cpu(images, crops, normalisation, exact);
    return exact.to(type);
  }
#ifdef FLOWDARTS_CUDA
  if (images.is_cuda()) {
    augment_on_gpu(images, crops, normalisation, out);
    return out;
  }
#endif
  TORCH_CHECK(false, "augmentation: no kernels for ", images.device());
}

}  // namespace flowdarts
