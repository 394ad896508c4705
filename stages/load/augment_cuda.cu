#include <flowdarts/spaces/mixed_op/device.cuh>
#include <flowdarts/stages/load/augment_cuda.hpp>

namespace flowdarts {
namespace {

using mixed_op::block_threads;

constexpr int table_size = 3 * 256;

// A block for each image: contrast needs the mean of all its pixels.
template <class T>
__global__ void augment(DeviceImages from, const Crop* crops, T* out) {
  __shared__ float normalised[table_size];
  __shared__ unsigned long long greys;
  const int thread = static_cast<int>(threadIdx.x), pixels = from.size * from.size;
  for (int i = thread; i < table_size; i += block_threads) {
    normalised[i] = normalised_value(i % 256, from.mean[i / 256], from.std[i / 256]);
  }
  if (thread == 0) greys = 0;
  __syncthreads();
  const Crop crop = crops[blockIdx.x];
  const std::uint8_t* image = from.images + crop.sample * 3 * pixels;
  if (contrast_place(crop.colours) < crop.colours.count) {
    // Of integers, so that the order of the threads does not show.
    atomicAdd(&greys, static_cast<unsigned long long>(sum_of_greys(image, from.size, crop, thread, block_threads)));
  }
  __syncthreads();
  const int mean_grey = mean_of_greys(static_cast<std::int64_t>(greys), pixels);
  T* target = out + std::int64_t{blockIdx.x} * 3 * pixels;
  for (int i = thread; i < pixels; i += block_threads) {
    float rgb[3];
    augmented_pixel(image, from.size, crop, mean_grey, normalised, i % from.size, i / from.size, rgb);
#pragma unroll
    for (int c = 0; c < 3; ++c) target[3 * i + c] = mixed_op::narrow<T>(rgb[c]);
  }
}

}  // namespace

template <class T>
std::string augment_cuda(const DeviceImages& from, const Crop* crops, std::int64_t count, T* out, void* stream) {
  if (count == 0) return {};
  augment<<<static_cast<unsigned>(count), block_threads, 0, static_cast<cudaStream_t>(stream)>>>(from, crops, out);
  return mixed_op::failure(cudaGetLastError(), "augmenting a batch on the device");
}

template std::string augment_cuda<float>(const DeviceImages&, const Crop*, std::int64_t, float*, void*);
template std::string augment_cuda<mixed_op::Bf16>(const DeviceImages&, const Crop*, std::int64_t, mixed_op::Bf16*,
                                                  void*);

}  // namespace flowdarts
