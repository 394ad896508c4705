#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <flowdarts/stages/load/resize.hpp>
#include <flowdarts/stages/load/resize_kernels.hpp>

namespace flowdarts {
namespace {

// The input pixels, counted from the image's first, and their weights for every output pixel: `stride` weights each.
struct Taps {
  std::vector<int> first, count;
  std::vector<float> weights;
  std::size_t stride = 0;

  [[nodiscard]] std::span<const float> at(std::size_t output) const {
    return std::span(weights).subspan(output * stride, static_cast<std::size_t>(count[output]));
  }
};

// Of a filter at a distance from its centre, in pixels of the smaller resolution.
double weight_at(ResizeFilter filter, double distance) {
  const double x = std::abs(distance);
  if (filter == ResizeFilter::bilinear) return std::max(0.0, 1.0 - x);
  if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
  return x < 2 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : 0.0;
}

Taps make_taps(const ResizeAxis& axis, int outputs, int origin, ResizeFilter filter) {
  const double scale = std::max(axis.step, 1.0);
  const double width = scale * (filter == ResizeFilter::bilinear ? 1 : 2);
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
      const double weight = weight_at(filter, (x + 0.5 - center) / scale);
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

// The three channels of a pixel and one float more, which is carried along because four lanes are as cheap as three.
using Lanes = float __attribute__((vector_size(16)));

Lanes weigh_pixels(const float* pixel, std::span<const float> weights) {
  Lanes sum{};
  for (const float weight : weights) {
    Lanes lanes;
    std::memcpy(&lanes, pixel, sizeof lanes);
    sum += weight * lanes;
    pixel += 3;
  }
  return sum;
}

// store(y, x, lanes) takes the result's pixels, row by row from the left; end_row(y) follows each row.
template <class Store, class EndRow>
void resize_into(const Image& image, const ResizeAxis& horizontal, const ResizeAxis& vertical, bool flip, int width,
                 int height, ResizeFilter filter, const Store& store, const EndRow& end_row) {
  const Taps across = make_taps(horizontal, width, image.left, filter);
  const Taps down = make_taps(vertical, height, image.top, filter);
  // Rows first: they are contiguous, and one row of sums then stays in the cache.
  const auto left = static_cast<std::size_t>(*std::ranges::min_element(across.first));
  const auto right = static_cast<std::size_t>(across.first.back() + across.count.back());
  const std::size_t row_floats = 3 * (right - left);
  std::vector<float> row(row_floats + 1);  // weigh_pixels reads one float past the last pixel
  const auto columns = static_cast<std::size_t>(width), rows = static_cast<std::size_t>(height);
  const std::size_t source_stride = 3 * static_cast<std::size_t>(image.width);
  for (std::size_t y = 0; y < rows; ++y) {
    weigh_rows(image.pixels.data() + static_cast<std::size_t>(down.first[y]) * source_stride + 3 * left, source_stride,
               down.at(y), std::span(row).first(row_floats));
    for (std::size_t place = 0; place < columns; ++place) {
      const std::size_t x = flip ? columns - 1 - place : place;
      store(y, place, weigh_pixels(row.data() + 3 * (static_cast<std::size_t>(across.first[x]) - left), across.at(x)));
    }
    end_row(y);
  }
}

}  // namespace

void resize(const Image& image, const ResizeAxis& horizontal, const ResizeAxis& vertical, bool flip,
            const ChannelScale& scale, int width, int height, std::span<float> out, ResizeFilter filter) {
  float* target = out.data();
  const std::size_t plane = out.size() / 3, columns = static_cast<std::size_t>(width);
  resize_into(
      image, horizontal, vertical, flip, width, height, filter,
      [=](std::size_t y, std::size_t x, const Lanes& lanes) {
        float* pixel = target + y * columns + x;
        pixel[0] = lanes[0] * scale.scale[0] + scale.bias[0];
        pixel[plane] = lanes[1] * scale.scale[1] + scale.bias[1];
        pixel[2 * plane] = lanes[2] * scale.scale[2] + scale.bias[2];
      },
      [](std::size_t) {});
}

void resize_pixels(const Image& image, const ResizeAxis& horizontal, const ResizeAxis& vertical, bool flip, int width,
                   int height, std::span<std::uint8_t> out, ResizeFilter filter) {
  const std::size_t row_values = 3 * static_cast<std::size_t>(width);
  std::vector<float> values(row_values + 1);  // all four lanes of a pixel are stored; the next one's cover the fourth
  resize_into(
      image, horizontal, vertical, flip, width, height, filter,
      [to = values.data()](std::size_t, std::size_t x, const Lanes& lanes) {
        std::memcpy(to + 3 * x, &lanes, sizeof lanes);
      },
      [&](std::size_t y) { round_to_bytes(std::span(values).first(row_values), out.data() + y * row_values); });
}

}  // namespace flowdarts
