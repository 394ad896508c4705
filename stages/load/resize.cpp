#include <algorithm>
#include <cmath>
#include <cstddef>
#include <flowdarts/stages/load/resize.hpp>

namespace flowdarts {
namespace {

// The input pixels, counted from the image's first, and their weights for every output pixel: `stride` weights each.
struct Taps {
  std::vector<int> first, count;
  std::vector<float> weights;
  std::size_t stride = 0;
};

Taps make_taps(const ResizeAxis& axis, int outputs, int origin) {
  const double width = std::max(axis.step, 1.0);
  Taps taps;
  taps.stride = static_cast<std::size_t>(std::ceil(2 * width)) + 1;
  taps.first.resize(static_cast<std::size_t>(outputs));
  taps.count.resize(static_cast<std::size_t>(outputs));
  taps.weights.resize(static_cast<std::size_t>(outputs) * taps.stride);
  std::vector<double> weights(taps.stride);
  for (std::size_t j = 0; j < taps.first.size(); ++j) {
    const double center = axis.begin + (static_cast<double>(j) + 0.5) * axis.step;
    const int first = std::max(axis.clip_begin, static_cast<int>(std::floor(center - width + 0.5)));
    const int last = std::min(axis.clip_end, static_cast<int>(std::floor(center + width + 0.5)));
    double sum = 0;
    for (int x = first; x < last; ++x) {
      const double weight = std::max(0.0, 1.0 - std::abs((x + 0.5 - center) / width));
      weights[static_cast<std::size_t>(x - first)] = weight;
      sum += weight;
    }
    taps.first[j] = first - origin;
    taps.count[j] = last - first;
    for (std::size_t k = 0; k < static_cast<std::size_t>(last - first); ++k) {
      taps.weights[j * taps.stride + k] = static_cast<float>(weights[k] / sum);
    }
  }
  return taps;
}

void accumulate(const std::uint8_t* row, float weight, std::span<float> sums) {
  for (std::size_t i = 0; i < sums.size(); ++i) sums[i] += weight * static_cast<float>(row[i]);
}

}  // namespace

void resize(const Image& image, const ResizeAxis& horizontal, const ResizeAxis& vertical, bool flip,
            const ChannelScale& scale, int width, int height, std::span<float> out) {
  const Taps across = make_taps(horizontal, width, image.left);
  const Taps down = make_taps(vertical, height, image.top);
  // Rows first: they are contiguous, and one row of sums then stays in the cache.
  const auto left = static_cast<std::size_t>(*std::ranges::min_element(across.first));
  const auto right = static_cast<std::size_t>(across.first.back() + across.count.back());
  std::vector<float> row(3 * (right - left));
  const std::size_t plane = static_cast<std::size_t>(width) * static_cast<std::size_t>(height);
  for (int y = 0; y < height; ++y) {
    const auto yy = static_cast<std::size_t>(y);
    std::ranges::fill(row, 0.0F);
    for (int k = 0; k < down.count[yy]; ++k) {
      const auto source = static_cast<std::size_t>(down.first[yy] + k) * static_cast<std::size_t>(image.width) + left;
      accumulate(image.pixels.data() + 3 * source, down.weights[yy * down.stride + static_cast<std::size_t>(k)], row);
    }
    float* target = out.data() + yy * static_cast<std::size_t>(width) + (flip ? width - 1 : 0);
    const std::ptrdiff_t direction = flip ? -1 : 1;
    for (std::size_t x = 0; x < static_cast<std::size_t>(width); ++x, target += direction) {
      const float* pixel = row.data() + 3 * (static_cast<std::size_t>(across.first[x]) - left);
      const float* weight = across.weights.data() + x * across.stride;
      float red = 0, green = 0, blue = 0;
      for (int k = 0; k < across.count[x]; ++k, pixel += 3) {
        red += weight[k] * pixel[0];
        green += weight[k] * pixel[1];
        blue += weight[k] * pixel[2];
      }
      target[0] = red * scale.scale[0] + scale.bias[0];
      target[plane] = green * scale.scale[1] + scale.bias[1];
      target[2 * plane] = blue * scale.scale[2] + scale.bias[2];
    }
  }
}

}  // namespace flowdarts
