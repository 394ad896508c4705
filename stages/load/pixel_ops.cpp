#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <flowdarts/stages/load/pixel_ops.hpp>
#include <numbers>
#include <vector>

namespace flowdarts {
namespace {

using Table = std::array<std::uint8_t, 256>;

void look_up(PixelGrid image, std::size_t channel, const Table& table) {
  for (std::size_t i = channel; i < image.pixels.size(); i += 3) image.pixels[i] = table[image.pixels[i]];
}

void look_up(PixelGrid image, const Table& table) {
  for (std::size_t channel = 0; channel < 3; ++channel) look_up(image, channel, table);
}

std::array<std::int64_t, 256> histogram(PixelGrid image, std::size_t channel) {
  std::array<std::int64_t, 256> counts{};
  for (std::size_t i = channel; i < image.pixels.size(); i += 3) ++counts[image.pixels[i]];
  return counts;
}

/// An output position's pixel centre (x, y) takes the pixel at (a x + b y + c, d x + e y + f).
struct Affine {
  double a = 1, b = 0, c = 0, d = 0, e = 1, f = 0;
};

void transform(PixelGrid image, const Affine& from) {
  const std::vector<std::uint8_t> source(image.pixels.begin(), image.pixels.end());
  std::uint8_t* target = image.pixels.data();
  for (int row = 0; row < image.height; ++row) {
    for (int column = 0; column < image.width; ++column, target += 3) {
      const double x = column + 0.5, y = row + 0.5;
      const double from_x = std::floor(from.a * x + from.b * y + from.c);
      const double from_y = std::floor(from.d * x + from.e * y + from.f);
      if (from_x < 0 || from_x >= image.width || from_y < 0 || from_y >= image.height) {
        std::fill_n(target, 3, std::uint8_t{0});
      } else {
        const auto pixel = static_cast<std::ptrdiff_t>(from_y) * image.width + static_cast<std::ptrdiff_t>(from_x);
        std::copy_n(source.data() + 3 * pixel, 3, target);
      }
    }
  }
}

void turn_hue(PixelGrid image, int steps) {
  for (std::size_t i = 0; i < image.pixels.size(); i += 3) shift_hue(image.pixels.data() + i, steps);
}

}  // namespace

void brightness(PixelGrid image, double factor) {
  Table table{};
  for (int value = 0; value < 256; ++value) {
    table[static_cast<std::size_t>(value)] = blend(0, value, static_cast<float>(factor));
  }
  look_up(image, table);
}

void contrast(PixelGrid image, double factor) {
  std::int64_t sum = 0;
  for (std::size_t i = 0; i < image.pixels.size(); i += 3) sum += grey_of(image.pixels.data() + i);
  const int mean = mean_of_greys(sum, static_cast<std::int64_t>(image.pixels.size() / 3));
  Table table{};
  for (int value = 0; value < 256; ++value) {
    table[static_cast<std::size_t>(value)] = blend(mean, value, static_cast<float>(factor));
  }
  look_up(image, table);
}

void saturation(PixelGrid image, double factor) {
  for (std::size_t i = 0; i < image.pixels.size(); i += 3) {
    const int grey = grey_of(image.pixels.data() + i);
    for (std::size_t c = 0; c < 3; ++c) {
      image.pixels[i + c] = blend(grey, image.pixels[i + c], static_cast<float>(factor));
    }
  }
}

void sharpness(PixelGrid image, double factor) {
  const std::vector<std::uint8_t> source(image.pixels.begin(), image.pixels.end());
  const std::ptrdiff_t row_bytes = std::ptrdiff_t{3} * image.width;
  for (int y = 1; y < image.height - 1; ++y) {
    for (int x = 1; x < image.width - 1; ++x) {
      for (int c = 0; c < 3; ++c) {
        const std::ptrdiff_t at = y * row_bytes + std::ptrdiff_t{3} * x + c;
        const std::uint8_t* centre = source.data() + at;
        int sum = 4 * centre[0];
        for (int dy = -1; dy <= 1; ++dy) {
          for (int dx = -1; dx <= 1; ++dx) sum += centre[dy * row_bytes + std::ptrdiff_t{3} * dx];
        }
        const int smooth = static_cast<int>(sum / 13.0 + 0.5);
        image.pixels[static_cast<std::size_t>(at)] = blend(smooth, centre[0], static_cast<float>(factor));
      }
    }
  }
}

void shift_hue(PixelGrid image, double part) {
  turn_hue(image, hue_steps(part));
}

void change_colours(PixelGrid image, const ColourSteps& colours) {
  for (const auto& [op, amount] : std::span(colours.steps).first(static_cast<std::size_t>(colours.count))) {
    switch (op) {
      case ColourOp::brightness:
        brightness(image, amount);
        break;
      case ColourOp::contrast:
        contrast(image, amount);
        break;
      case ColourOp::saturation:
        saturation(image, amount);
        break;
      case ColourOp::hue:
        turn_hue(image, static_cast<int>(amount));
        break;
    }
  }
}

void posterize(PixelGrid image, int bits) {
  const auto mask = static_cast<std::uint8_t>(0xFF00U >> static_cast<unsigned>(bits));
  for (std::uint8_t& value : image.pixels) value &= mask;
}

void solarize(PixelGrid image, int threshold) {
  for (std::uint8_t& value : image.pixels) {
    if (value >= threshold) value = static_cast<std::uint8_t>(255 - value);
  }
}

void autocontrast(PixelGrid image) {
  for (std::size_t channel = 0; channel < 3; ++channel) {
    const auto counts = histogram(image, channel);
    int low = 0, high = 255;
    while (low < 255 && counts[static_cast<std::size_t>(low)] == 0) ++low;
    while (high > 0 && counts[static_cast<std::size_t>(high)] == 0) --high;
    if (high <= low) continue;
    const double scale = 255.0 / (high - low), offset = -low * scale;
    Table table{};
    for (int value = 0; value < 256; ++value) {
      table[static_cast<std::size_t>(value)] =
          static_cast<std::uint8_t>(std::clamp(static_cast<int>(value * scale + offset), 0, 255));
    }
    look_up(image, channel, table);
  }
}

void equalize(PixelGrid image) {
  for (std::size_t channel = 0; channel < 3; ++channel) {
    const auto counts = histogram(image, channel);
    const auto last = std::ranges::find_if(counts.rbegin(), counts.rend(), [](std::int64_t n) { return n > 0; });
    if (last == counts.rend()) continue;
    const std::int64_t step = (static_cast<std::int64_t>(image.pixels.size() / 3) - *last) / 255;
    if (step == 0) continue;
    Table table{};
    std::int64_t below = step / 2;
    for (std::size_t value = 0; value < table.size(); ++value) {
      table[value] = static_cast<std::uint8_t>(std::min<std::int64_t>(below / step, 255));
      below += counts[value];
    }
    look_up(image, channel, table);
  }
}

void shear_x(PixelGrid image, double slope) {
  transform(image, {.b = slope});
}

void shear_y(PixelGrid image, double slope) {
  transform(image, {.d = slope});
}

void translate_x(PixelGrid image, int pixels) {
  transform(image, {.c = static_cast<double>(pixels)});
}

void translate_y(PixelGrid image, int pixels) {
  transform(image, {.f = static_cast<double>(pixels)});
}

void rotate(PixelGrid image, double degrees) {
  const double angle = -degrees * std::numbers::pi / 180.0;
  const double cosine = std::cos(angle), sine = std::sin(angle);
  const double x = image.width / 2.0, y = image.height / 2.0;
  transform(image, {.a = cosine,
                    .b = sine,
                    .c = x - cosine * x - sine * y,
                    .d = -sine,
                    .e = cosine,
                    .f = y + sine * x - cosine * y});
}

}  // namespace flowdarts
