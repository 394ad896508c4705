#pragma once
// Crop, flip, normalisation and cutout of a batch on a GPU, in one kernel. All pointers are to device memory; nothing
// here waits for the device. No LibTorch here.

#include <flowdarts/spaces/mixed_op/rows.hpp>
#include <flowdarts/stages/load/crop.hpp>

#include <cstdint>
#include <string>

namespace flowdarts {

/// A data set's images and what becomes of their values.
struct DeviceImages {
  const std::uint8_t* images = nullptr;  ///< [samples, size, size, 3]
  const float* normalised = nullptr;     ///< [3, 256]
  int size = 0;
};

/// out [count, size, size, 3], channels-last memory of [count, 3, size, size]: crop_pixel() of every crop's sample. T:
/// float, the same bits as on a CPU, or mixed_op::Bf16, those rounded to nearest even. Enqueued on `stream` (a
/// cudaStream_t) of the current device; returns what failed, nothing on success.
template <class T>
[[nodiscard]] std::string augment_cuda(const DeviceImages& from, const Crop* crops, std::int64_t count, T* out,
                                       void* stream);

}  // namespace flowdarts
