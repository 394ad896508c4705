#include <algorithm>
#include <cmath>
#include <cstddef>
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

// The taps along rows as weigh_pixels() takes them: as many for every pixel, of weight 0 where a pixel has fewer, and
// pixels that nobody needs up to a multiple of eight.
struct RowTaps {
  std::size_t left = 0, right = 0;  // of the columns that are read, counted from the image's first
  std::size_t count = 0;            // for each pixel
  std::vector<int> offsets;
  std::vector<float> weights;

  RowTaps(const Taps& taps, bool flip) {
    const std::size_t pixels = taps.first.size(), padded = (pixels + 7) / 8 * 8;
    left = static_cast<std::size_t>(*std::ranges::min_element(taps.first));
    count = static_cast<std::size_t>(*std::ranges::max_element(taps.count));
    offsets.resize(padded);
    weights.resize(count * padded * 4);
    for (std::size_t place = 0; place < pixels; ++place) {
      const std::size_t x = flip ? pixels - 1 - place : place;
      const auto first = static_cast<std::size_t>(taps.first[x]);
      const std::span<const float> of_pixel = taps.at(x);
      right = std::max(right, first + of_pixel.size());
      offsets[place] = static_cast<int>(3 * (first - left));
      for (std::size_t k = 0; k < of_pixel.size(); ++k) {
        std::fill_n(weights.data() + (k * padded + place) * 4, 4, of_pixel[k]);
      }
    }
  }
};

// finish(y, pixels) takes the result's rows, in order, as pixels of four floats, the last of which mean nothing.
template <class Finish>
void resize_rows(const Image& image, const ResizeAxis& horizontal, const ResizeAxis& vertical, bool flip, int width,
                 int height, ResizeFilter filter, const Finish& finish) {
  const RowTaps across(make_taps(horizontal, width, image.left, filter), flip);
  const Taps down = make_taps(vertical, height, image.top, filter);
  // Rows first: they are contiguous, and one row of sums then stays in the cache.
  const std::size_t row_floats = 3 * (across.right - across.left);
  std::vector<float> row(row_floats + 3 * across.count + 1);  // weights of 0 are for what lies behind the row
  std::vector<float> pixels(across.offsets.size() * 4);
  const std::size_t source_stride = 3 * static_cast<std::size_t>(image.width);
  for (std::size_t y = 0; y < static_cast<std::size_t>(height); ++y) {
    const std::size_t from = static_cast<std::size_t>(down.first[y]) * source_stride + 3 * across.left;
    weigh_rows(image.pixels.data() + from, source_stride, down.at(y), std::span(row).first(row_floats));
    weigh_pixels(row.data(), across.offsets, across.weights, pixels);
    finish(y, pixels);
  }
}

}  // namespace

void resize(const Image& image, const ResizeAxis& horizontal, const ResizeAxis& vertical, bool flip,
            const ChannelScale& scale, int width, int height, std::span<float> out, ResizeFilter filter) {
  const std::size_t plane = out.size() / 3, columns = static_cast<std::size_t>(width);
  resize_rows(image, horizontal, vertical, flip, width, height, filter,
              [&](std::size_t y, std::span<const float> pixels) {
                float* target = out.data() + y * columns;
                normalise_pixels(pixels, columns, scale, {target, target + plane, target + 2 * plane});
              });
}

void resize_pixels(const Image& image, const ResizeAxis& horizontal, const ResizeAxis& vertical, bool flip, int width,
                   int height, std::span<std::uint8_t> out, ResizeFilter filter) {
  const auto columns = static_cast<std::size_t>(width);
  resize_rows(image, horizontal, vertical, flip, width, height, filter,
              [&](std::size_t y, std::span<const float> pixels) {
                round_pixels(pixels, columns, out.data() + 3 * columns * y);
              });
}

}  // namespace flowdarts
