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
      normalised_[256 * c + value] = static_cast<float>((static_cast<double>(value) / 255.0 - mean) / std);
    }
  }
}

void Augmentation::train(const Dataset& dataset, std::int64_t sample, CounterRng rng, Image& scratch,
                         std::span<float> out) const {
  if (geometry_.fixed) {
    dataset.decode(sample, scratch);
    const Crop crop = choose_crop(sample, rng);
    copy_shifted(scratch, crop, out);
    cut_out(crop, out);
    return;
  }
  Region region;
  dataset.decode(
      sample,
      [&](int width, int height) {
        region = random_resized_crop(width, height, rng);
        region.shrink = decoder_shrink(region, geometry_.size);
        return region;
      },
      scratch);
  const bool flip = rng.below(2) == 1;
  resize(scratch, crop_axis(region.left, region.width, geometry_.size, scratch.shrink),
         crop_axis(region.top, region.height, geometry_.size, scratch.shrink), flip, scale_, geometry_.size,
         geometry_.size, out);
  Crop hole;
  choose_hole(rng, hole);
  cut_out(hole, out);
}

Crop Augmentation::choose_crop(std::int64_t sample, CounterRng rng) const {
  const auto shift = [&] {
    return static_cast<std::int16_t>(static_cast<int>(rng.below(static_cast<std::uint64_t>(2 * options_.padding + 1))) -
                                     options_.padding);
  };
  Crop crop{.sample = sample};
  crop.shift_y = shift();
  crop.shift_x = shift();
  crop.flip = rng.below(2) == 1;
  choose_hole(rng, crop);
  return crop;
}

void Augmentation::choose_hole(CounterRng& rng, Crop& crop) const {
  if (options_.cutout == 0) return;
  const int size = geometry_.size, half = options_.cutout / 2;
  const int y = static_cast<int>(rng.below(static_cast<std::uint64_t>(size)));
  const int x = static_cast<int>(rng.below(static_cast<std::uint64_t>(size)));
  crop.hole_top = static_cast<std::int16_t>(std::max(0, y - half));
  crop.hole_bottom = static_cast<std::int16_t>(std::min(size, y + half));
  crop.hole_left = static_cast<std::int16_t>(std::max(0, x - half));
  crop.hole_right = static_cast<std::int16_t>(std::min(size, x + half));
}

void Augmentation::evaluate(const Dataset& dataset, std::int64_t sample, Image& scratch, std::span<float> out) const {
  if (geometry_.fixed) {
    dataset.decode(sample, scratch);
    copy_shifted(scratch, {}, out);
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

// crop_pixel() of all pixels but the hole's, row by row.
void Augmentation::copy_shifted(const Image& image, const Crop& crop, std::span<float> out) const {
  const int size = geometry_.size, shift_x = crop.shift_x, shift_y = crop.shift_y;
  const auto plane = static_cast<std::ptrdiff_t>(size) * size;
  const int first_x = std::clamp(-shift_x, 0, size), last_x = std::clamp(size - shift_x, 0, size);
  const int first_y = std::clamp(-shift_y, 0, size), last_y = std::clamp(size - shift_y, 0, size);
  const float *red = normalised_.data(), *green = red + 256, *blue = green + 256;
  if (shift_x != 0 || shift_y != 0) {
    for (int c = 0; c < 3; ++c) std::fill_n(out.data() + c * plane, plane, red[256 * c]);
  }
  const std::ptrdiff_t direction = crop.flip ? -1 : 1;
  for (int y = first_y; y < last_y; ++y) {
    const std::uint8_t* pixel =
        image.pixels.data() + std::ptrdiff_t{3} * ((y + shift_y) * std::ptrdiff_t{size} + first_x + shift_x);
    float* target = out.data() + y * std::ptrdiff_t{size} + (crop.flip ? size - 1 - first_x : first_x);
    for (int x = first_x; x < last_x; ++x, pixel += 3, target += direction) {
      target[0] = red[pixel[0]];
      target[plane] = green[pixel[1]];
      target[2 * plane] = blue[pixel[2]];
    }
  }
}

void Augmentation::cut_out(const Crop& crop, std::span<float> out) const {
  const int size = geometry_.size;
  for (int c = 0; c < 3; ++c) {
    for (int y = crop.hole_top; y < crop.hole_bottom; ++y) {
      std::fill_n(out.data() + (std::ptrdiff_t{c} * size + y) * size + crop.hole_left, crop.hole_right - crop.hole_left,
                  0.0F);
    }
  }
}

}  // namespace flowdarts
