#pragma once
// What a network gets for the values of a pixel. One code for host and device. No LibTorch here.

#include <array>

#ifdef __CUDACC__
#define FLOWDARTS_HOST_DEVICE __host__ __device__
#else
#define FLOWDARTS_HOST_DEVICE
#endif

namespace flowdarts {

/// Channel statistics of pixel values scaled to [0, 1]: normalised = (value / 255 - mean) / std.
struct Normalisation {
  std::array<float, 3> mean;
  std::array<float, 3> std;
};

/// Of a value 0 .. 255, rounded once.
FLOWDARTS_HOST_DEVICE inline float normalised_value(int value, float mean, float std) {
  return static_cast<float>((static_cast<double>(value) / 255.0 - static_cast<double>(mean)) /
                            static_cast<double>(std));
}

}  // namespace flowdarts
