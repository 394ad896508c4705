#include <algorithm>
#include <cmath>
#include <flowdarts/spaces/support/error.hpp>
#include <flowdarts/stages/load/augment.hpp>
#include <numbers>
#include <string>

namespace flowdarts {
namespace {

// The largest reduction of the decoder that leaves at least twice the pixels that the output has in each direction, as
// Pillow's reducing_gap = 2: the box filter of the reduction then hardly shows through the triangle of the resize.
int decoder_shrink(const Region& region, int size) {
  int shrink = 1;
  while (shrink < 8 && std::min(region.width, region.height) >= 4 * shrink * size) shrink *= 2;
  return shrink;
}

// `length` pixels from `begin` become `size`, at the decoder's reduction. A reduced pixel is read if at least half of
// it lies in the crop.
ResizeAxis crop_axis(int begin, int length, int size, int shrink) {
  const double from = static_cast<double>(begin) / shrink;
  const double to = static_cast<double>(begin + length) / shrink;
  return {from, (to - from) / size, static_cast<int>(std::lround(from)), static_cast<int>(std::lround(to))};
}

// The centre `size` of `length` pixels resized to `resized`; torchvision's CenterCrop rounds half to even.
ResizeAxis centre_axis(int length, int resized, int size) {
  const double step = static_cast<double>(length) / resized;
  return {std::nearbyint((resized - size) / 2.0) * step, step, 0, length};
}

}  // namespace

Region random_resized_crop(int width, int height, CounterRng& rng) {
  constexpr double min_area = 0.08, max_area = 1.0;
  constexpr double min_ratio = 3.0 / 4.0, max_ratio = 4.0 / 3.0;
  const double area = static_cast<double>(width) * height;
  for (int attempt = 0; attempt < 10; ++attempt) {
    const double target = area * rng.uniform(min_area, max_area);
    const double ratio = std::exp(rng.uniform(std::log(min_ratio), std::log(max_ratio)));
    const int w = static_cast<int>(std::lround(std::sqrt(target * ratio)));
    const int h = static_cast<int>(std::lround(std::sqrt(target / ratio)));
    if (w < 1 || h < 1 || w > width || h > height) continue;
    const int top = static_cast<int>(rng.below(static_cast<std::uint64_t>(height - h) + 1));
    const int left = static_cast<int>(rng.below(static_cast<std::uint64_t>(width - w) + 1));
    return {left, top, w, h};
  }
  const double ratio = static_cast<double>(width) / height;
  int w = width, h = height;
  if (ratio < min_ratio) h = std::max(1, static_cast<int>(std::lround(w / min_ratio)));
  if (ratio > max_ratio) w = std::max(1, static_cast<int>(std::lround(h * max_ratio)));
  return {(width - w) / 2, (height - h) / 2, w, h};
}

Augmentation::Augmentation(ImageGeometry geometry, const Normalisation& normalisation, const AugmentOptions& options)
    : geometry_(geometry), options_(options) {
  const auto check = [&](const char* what, int value) {
    if (value < 0 || value > geometry.size) {
      throw InputError(std::string(what) + " of " + std::to_string(value) + " pixels, expected 0 to " +
                       std::to_string(geometry.size) + ", the image size");
    }
  };
  check("padding", options.padding);
  check("cutout", options.cutout);
  for (std::size_t c = 0; c < 3; ++c) {
    const double mean = normalisation.mean[c], std = normalisation.std[c];
    scale_.scale[c] = static_cast<float>(1.0 / (255.0 * std));
    scale_.bias[c] = static_cast<float>(-mean / std);
    for (std::size_t value = 0; value < 256; ++value) {
      normalised_[c][value] = static_cast<float>((static_cast<double>(value) / 255.0 - mean) / std);
    }
  }
}

void Augmentation::train(const Dataset& dataset, std::int64_t sample, CounterRng rng, Image& scratch,
                         std::span<float> out) const {
  if (geometry_.fixed) {
    dataset.decode(sample, scratch);
    const auto offsets = static_cast<std::uint64_t>(2 * options_.padding + 1);
    const int shift_y = static_cast<int>(rng.below(offsets)) - options_.padding;
    const int shift_x = static_cast<int>(rng.below(offsets)) - options_.padding;
    copy_shifted(scratch, shift_x, shift_y, rng.below(2) == 1, out);
  } else {
    Region crop;
    dataset.decode(
        sample,
        [&](int width, int height) {
          crop = random_resized_crop(width, height, rng);
          crop.shrink = decoder_shrink(crop, geometry_.size);
          return crop;
        },
        scratch);
    const bool flip = rng.below(2) == 1;
    resize(scratch, crop_axis(crop.left, crop.width, geometry_.size, scratch.shrink),
           crop_axis(crop.top, crop.height, geometry_.size, scratch.shrink), flip, scale_, geometry_.size,
           geometry_.size, out);
  }
  if (options_.cutout > 0) cut_out(rng, out);
}

void Augmentation::evaluate(const Dataset& dataset, std::int64_t sample, Image& scratch, std::span<float> out) const {
  if (geometry_.fixed) {
    dataset.decode(sample, scratch);
    copy_shifted(scratch, 0, 0, false, out);
    return;
  }
  ResizeAxis horizontal, vertical;
  dataset.decode(
      sample,
      [&](int width, int height) {
        const int shorter = (geometry_.size * 256 + 112) / 224;
        const auto scaled = [&](int side, int other) {
          return side <= other ? shorter : static_cast<int>(std::int64_t{shorter} * side / other);
        };
        horizontal = centre_axis(width, scaled(width, height), geometry_.size);
        vertical = centre_axis(height, scaled(height, width), geometry_.size);
        return whole_image(width, height);
      },
      scratch);
  resize(scratch, horizontal, vertical, false, scale_, geometry_.size, geometry_.size, out);
}

// Output pixel (x, y) is the image's (x + shift_x, y + shift_y), black outside; then mirrored if `flip`.
void Augmentation::copy_shifted(const Image& image, int shift_x, int shift_y, bool flip, std::span<float> out) const {
  const int size = geometry_.size;
  const auto plane = static_cast<std::ptrdiff_t>(size) * size;
  const int first_x = std::clamp(-shift_x, 0, size), last_x = std::clamp(size - shift_x, 0, size);
  const int first_y = std::clamp(-shift_y, 0, size), last_y = std::clamp(size - shift_y, 0, size);
  if (shift_x != 0 || shift_y != 0) {
    for (std::size_t c = 0; c < 3; ++c) {
      std::fill_n(out.data() + static_cast<std::ptrdiff_t>(c) * plane, plane, normalised_[c][0]);
    }
  }
  const std::ptrdiff_t direction = flip ? -1 : 1;
  for (int y = first_y; y < last_y; ++y) {
    const std::uint8_t* pixel =
        image.pixels.data() + std::ptrdiff_t{3} * ((y + shift_y) * std::ptrdiff_t{size} + first_x + shift_x);
    float* target = out.data() + y * std::ptrdiff_t{size} + (flip ? size - 1 - first_x : first_x);
    for (int x = first_x; x < last_x; ++x, pixel += 3, target += direction) {
      target[0] = normalised_[0][pixel[0]];
      target[plane] = normalised_[1][pixel[1]];
      target[2 * plane] = normalised_[2][pixel[2]];
    }
  }
}

void Augmentation::cut_out(CounterRng& rng, std::span<float> out) const {
  const int size = geometry_.size, half = options_.cutout / 2;
  const int y = static_cast<int>(rng.below(static_cast<std::uint64_t>(size)));
  const int x = static_cast<int>(rng.below(static_cast<std::uint64_t>(size)));
  const int top = std::max(0, y - half), bottom = std::min(size, y + half);
  const int left = std::max(0, x - half), right = std::min(size, x + half);
  for (int row = 0; row < 3 * size; ++row) {
    if (row % size < top || row % size >= bottom) continue;
    std::fill_n(out.data() + row * std::ptrdiff_t{size} + left, right - left, 0.0F);
  }
}

}  // namespace flowdarts
