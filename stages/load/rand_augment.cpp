#include <cmath>
#include <cstdint>
#include <flowdarts/spaces/support/error.hpp>
#include <flowdarts/stages/load/rand_augment.hpp>
#include <stdexcept>
#include <string>

namespace flowdarts {

void RandAugment::check() const {
  if (ops < 0) throw InputError("RandAugment with " + std::to_string(ops) + " ops, expected at least 0");
  if (magnitude < 0 || magnitude > max_magnitude) {
    throw InputError("RandAugment of magnitude " + std::to_string(magnitude) + ", expected 0 to " +
                     std::to_string(max_magnitude));
  }
}

void RandAugment::apply(PixelGrid image, CounterRng& rng) const {
  for (int i = 0; i < ops; ++i) {
    const std::uint64_t op = rng.below(rand_augment_ops.size());
    apply_op(rand_augment_ops[op], rng.below(2) == 1, image);
  }
}

void RandAugment::apply_op(std::string_view op, bool backwards, PixelGrid image) const {
  const double strength = static_cast<double>(magnitude) / max_magnitude;
  const double to_a_side = backwards ? -strength : strength;
  if (op == "identity") return;
  if (op == "shear_x") return shear_x(image, 0.3 * to_a_side);
  if (op == "shear_y") return shear_y(image, 0.3 * to_a_side);
  // Of images of 331 x 331, on which the list was made, 150 pixels.
  if (op == "translate_x") return translate_x(image, static_cast<int>(150.0 / 331.0 * image.width * to_a_side));
  if (op == "translate_y") return translate_y(image, static_cast<int>(150.0 / 331.0 * image.height * to_a_side));
  if (op == "rotate") return rotate(image, 30.0 * to_a_side);
  if (op == "brightness") return brightness(image, 1.0 + 0.9 * to_a_side);
  if (op == "saturation") return saturation(image, 1.0 + 0.9 * to_a_side);
  if (op == "contrast") return contrast(image, 1.0 + 0.9 * to_a_side);
  if (op == "sharpness") return sharpness(image, 1.0 + 0.9 * to_a_side);
  if (op == "posterize") return posterize(image, 8 - static_cast<int>(std::nearbyint(4.0 * strength)));
  if (op == "solarize") return solarize(image, static_cast<int>(std::ceil(255.0 * (1.0 - strength))));
  if (op == "autocontrast") return autocontrast(image);
  if (op == "equalize") return equalize(image);
  throw std::invalid_argument("RandAugment: no op " + std::string(op));
}

}  // namespace flowdarts
