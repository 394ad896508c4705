#pragma once
// Crop, flip, changes of colours, normalisation, lighting and cutout of a batch on a GPU, in one kernel. All pointers
// are to device memory; nothing here waits for the device. No LibTorch here.

#include <flowdarts/spaces/mixed_op/rows.hpp>
#include <flowdarts/stages/load/crop.hpp>

#include <cstdint>
#include <string>

namespace flowdarts {

/// Images, and what becomes of their values.
struct DeviceImages {
  const std::uint8_t* images = nullptr;  ///< [samples, size, size, 3]
  int size = 0;
  float mean[3] = {}, std[3] = {};  ///< as Normalisation
};

/// out [count, size, size, 3], channels-last memory of [count, 3, size, size]: augmented_pixel() of every crop's
/// sample. T: float, the same bits as on a CPU, or mixed_op::Bf16, those rounded to nearest even. Enqueued on `stream`
/// (a cudaStream_t) of the current device; returns what failed, nothing on success.
template <class T>
[[nodiscard]] std::string augment_cuda(const DeviceImages& from, const Crop* crops, std::int64_t count, T* out,
                                       void* stream);

}  // namespace flowdarts
