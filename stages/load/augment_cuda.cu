#include <flowdarts/spaces/mixed_op/device.cuh>
#include <flowdarts/stages/load/augment_cuda.hpp>

namespace flowdarts {
namespace {

using mixed_op::block_threads;

constexpr int table_size = 3 * 256;

template <class T>
__global__ void augment(DeviceImages from, const Crop* crops, std::int64_t count, T* out) {
  __shared__ float normalised[table_size];
  for (int i = static_cast<int>(threadIdx.x); i < table_size; i += block_threads) normalised[i] = from.normalised[i];
  __syncthreads();
  const std::int64_t pixels = std::int64_t{from.size} * from.size;
  const std::int64_t stride = std::int64_t{gridDim.x} * block_threads;
  for (std::int64_t i = std::int64_t{blockIdx.x} * block_threads + threadIdx.x; i < count * pixels; i += stride) {
    const Crop crop = crops[i / pixels];
    const int pixel = static_cast<int>(i % pixels);
    float rgb[3];
    crop_pixel(from.images + crop.sample * 3 * pixels, from.size, crop, normalised, pixel % from.size,
               pixel / from.size, rgb);
#pragma unroll
    for (int c = 0; c < 3; ++c) out[3 * i + c] = mixed_op::narrow<T>(rgb[c]);
  }
}

}  // namespace

template <class T>
std::string augment_cuda(const DeviceImages& from, const Crop* crops, std::int64_t count, T* out, void* stream) {
  if (count == 0) return {};
  constexpr std::int64_t pixels_a_thread = 4;  // so that a block's copy of the table is worth it
  const std::int64_t pixels = count * from.size * from.size;
  augment<<<mixed_op::grid_for_elements((pixels + pixels_a_thread - 1) / pixels_a_thread), block_threads, 0,
            static_cast<cudaStream_t>(stream)>>>(from, crops, count, out);
  return mixed_op::failure(cudaGetLastError(), "augmenting a batch on the device");
}

template std::string augment_cuda<float>(const DeviceImages&, const Crop*, std::int64_t, float*, void*);
template std::string augment_cuda<mixed_op::Bf16>(const DeviceImages&, const Crop*, std::int64_t, mixed_op::Bf16*,
                                                  void*);

}  // namespace flowdarts
