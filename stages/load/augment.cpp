#include <algorithm>
#include <cmath>
#include <flowdarts/spaces/support/error.hpp>
#include <flowdarts/stages/load/augment.hpp>
#include <flowdarts/stages/load/pixel_ops.hpp>
#include <string>
#include <utility>

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
    : geometry_(geometry), normalisation_(normalisation), options_(options) {
  const auto check = [&](const char* what, int value) {
    if (value < 0 || value > geometry.size) {
      throw InputError(std::string(what) + " of " + std::to_string(value) + " pixels, expected 0 to " +
                       std::to_string(geometry.size) + ", the image size");
    }
  };
  check("padding", options.padding);
  check("cutout", options.cutout);
  options.jitter.check();
  options.rand_augment.check();
  for (std::size_t c = 0; c < 3; ++c) {
    const double mean = normalisation.mean[c], std = normalisation.std[c];
    scale_.scale[c] = static_cast<float>(1.0 / (255.0 * std));
    scale_.bias[c] = static_cast<float>(-mean / std);
    for (std::size_t value = 0; value < 256; ++value) {
      normalised_[256 * c + value] =
          normalised_value(static_cast<int>(value), normalisation.mean[c], normalisation.std[c]);
    }
  }
}

void Augmentation::train(const Dataset& dataset, std::int64_t sample, std::span<const std::uint8_t> bytes,
                         CounterRng rng, Image& scratch, std::span<float> out) const {
  Crop crop;
  if (alters_pixels()) {
    std::vector<std::uint8_t> pixels(out.size());
    crop = train_pixels(dataset, sample, bytes, rng, scratch, pixels);
    change_colours(PixelGrid{pixels, geometry_.size, geometry_.size}, crop.colours);
    const std::size_t plane = out.size() / 3;
    for (std::size_t i = 0; i < out.size(); ++i) {
      out[i] = normalised_[256 * (i / plane) + pixels[3 * (i % plane) + i / plane]];
    }
  } else {
    if (geometry_.fixed) {
      dataset.decode(sample, bytes, whole_image, scratch);
      choose_place(rng, crop);
      copy_shifted(scratch, crop, out);
    } else {
      const auto [across, down, flip] = decode_crop(dataset, sample, bytes, rng, scratch);
      resize(scratch, across, down, flip, scale_, geometry_.size, geometry_.size, out, options_.filter);
    }
    choose_hole(rng, crop);
    choose_lighting(rng, crop);
  }
  light_and_cut_out(crop, out);
}

Crop Augmentation::train_pixels(const Dataset& dataset, std::int64_t sample, std::span<const std::uint8_t> bytes,
                                CounterRng rng, Image& scratch, std::span<std::uint8_t> out) const {
  const int size = geometry_.size;
  Crop crop;
  if (geometry_.fixed) {
    dataset.decode(sample, bytes, whole_image, scratch);
    Crop place;
    choose_place(rng, place);
    std::uint8_t* target = out.data();
    for (int y = 0; y < size; ++y) {
      for (int x = 0; x < size; ++x, target += 3) {
        std::ranges::copy(cropped_pixel(scratch.pixels.data(), size, place, x, y).values, target);
      }
    }
  } else {
    const auto [across, down, flip] = decode_crop(dataset, sample, bytes, rng, scratch);
    resize_pixels(scratch, across, down, flip, size, size, out, options_.filter);
  }
  choose_hole(rng, crop);
  crop.colours = options_.jitter.draw(rng);
  if (options_.rand_augment.any()) {
    const PixelGrid grid{out, size, size};
    change_colours(grid, std::exchange(crop.colours, ColourSteps{}));
    options_.rand_augment.apply(grid, rng);
  }
  choose_lighting(rng, crop);
  return crop;
}

Augmentation::Placement Augmentation::decode_crop(const Dataset& dataset, std::int64_t sample,
                                                  std::span<const std::uint8_t> bytes, CounterRng& rng,
                                                  Image& scratch) const {
  Region region;
  dataset.decode(
      sample, bytes,
      [&](int width, int height) {
        region = random_resized_crop(width, height, rng);
        region.shrink = decoder_shrink(region, geometry_.size);
        return region;
      },
      scratch);
  return {.across = crop_axis(region.left, region.width, geometry_.size, scratch.shrink),
          .down = crop_axis(region.top, region.height, geometry_.size, scratch.shrink),
          .flip = rng.below(2) == 1};
}

Crop Augmentation::choose_crop(std::int64_t sample, CounterRng rng) const {
  Crop crop{.sample = sample};
  choose_place(rng, crop);
  choose_hole(rng, crop);
  crop.colours = options_.jitter.draw(rng);
  choose_lighting(rng, crop);
  return crop;
}

void Augmentation::choose_place(CounterRng& rng, Crop& crop) const {
  const auto shift = [&] {
    return static_cast<std::int16_t>(static_cast<int>(rng.below(static_cast<std::uint64_t>(2 * options_.padding + 1))) -
                                     options_.padding);
  };
  crop.shift_y = shift();
  crop.shift_x = shift();
  crop.flip = rng.below(2) == 1;
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

void Augmentation::choose_lighting(CounterRng& rng, Crop& crop) const {
  if (options_.lighting == 0) return;
  // Principal components of the RGB values, from 0 to 1, of ImageNet's training images.
  constexpr std::array<double, 3> deviations{0.2175, 0.0188, 0.0045};
  constexpr std::array<std::array<double, 3>, 3> directions{
      {{-0.5675, 0.7192, 0.4009}, {-0.5808, -0.0045, -0.8140}, {-0.5836, -0.6948, 0.4203}}};
  std::array<double, 3> along{};
  for (std::size_t i = 0; i < 3; ++i) along[i] = options_.lighting * rng.normal() * deviations[i];
  for (std::size_t c = 0; c < 3; ++c) {
    double shift = 0;
    for (std::size_t i = 0; i < 3; ++i) shift += directions[c][i] * along[i];
    crop.lighting[c] = static_cast<float>(shift * 255.0 * static_cast<double>(scale_.scale[c]));
  }
}

void Augmentation::evaluate(const Dataset& dataset, std::int64_t sample, std::span<const std::uint8_t> bytes,
                            Image& scratch, std::span<float> out) const {
  if (geometry_.fixed) {
    dataset.decode(sample, bytes, whole_image, scratch);
    copy_shifted(scratch, {}, out);
  } else {
    const auto [across, down, flip] = decode_centre(dataset, sample, bytes, scratch);
    resize(scratch, across, down, flip, scale_, geometry_.size, geometry_.size, out, options_.filter);
  }
}

void Augmentation::evaluate_pixels(const Dataset& dataset, std::int64_t sample, std::span<const std::uint8_t> bytes,
                                   Image& scratch, std::span<std::uint8_t> out) const {
  if (geometry_.fixed) {
    dataset.decode(sample, bytes, whole_image, scratch);
    std::ranges::copy(scratch.pixels, out.begin());
  } else {
    const auto [across, down, flip] = decode_centre(dataset, sample, bytes, scratch);
    resize_pixels(scratch, across, down, flip, geometry_.size, geometry_.size, out, options_.filter);
  }
}

Augmentation::Placement Augmentation::decode_centre(const Dataset& dataset, std::int64_t sample,
                                                    std::span<const std::uint8_t> bytes, Image& scratch) const {
  Placement placement;
  dataset.decode(
      sample, bytes,
      [&](int width, int height) {
        const int shorter = (geometry_.size * 256 + 112) / 224;
        const auto scaled = [&](int side, int other) {
          return side <= other ? shorter : static_cast<int>(std::int64_t{shorter} * side / other);
        };
        placement.across = centre_axis(width, scaled(width, height), geometry_.size);
        placement.down = centre_axis(height, scaled(height, width), geometry_.size);
        return whole_image(width, height);
      },
      scratch);
  return placement;
}

// augmented_pixel() of all pixels but the hole's, row by row.
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

void Augmentation::light_and_cut_out(const Crop& crop, std::span<float> out) const {
  const int size = geometry_.size;
  const std::size_t plane = out.size() / 3;
  for (std::size_t c = 0; c < 3 && options_.lighting > 0; ++c) {
    for (float& value : out.subspan(c * plane, plane)) value += crop.lighting[c];
  }
  for (int c = 0; c < 3; ++c) {
    for (int y = crop.hole_top; y < crop.hole_bottom; ++y) {
      std::fill_n(out.data() + (std::ptrdiff_t{c} * size + y) * size + crop.hole_left, crop.hole_right - crop.hole_left,
                  0.0F);
    }
  }
}

}  // namespace flowdarts
