#pragma once
// RandAugment (Cubuk, Zoph, Shlens, Le, "RandAugment", NeurIPS 2020): some ops of a list, drawn at random, of one
// magnitude.

#include <array>
#include <flowdarts/spaces/support/random.hpp>
#include <flowdarts/stages/load/pixel_ops.hpp>
#include <string_view>

namespace flowdarts {

/// The list of the paper's appendix, and of torchvision's RandAugment, whose scale of magnitudes, 0 to 30, is meant.
inline constexpr std::array<std::string_view, 14> rand_augment_ops{
    "identity",   "shear_x",  "shear_y",   "translate_x", "translate_y", "rotate",       "brightness",
    "saturation", "contrast", "sharpness", "posterize",   "solarize",    "autocontrast", "equalize"};

struct RandAugment {
  static constexpr int max_magnitude = 30;

  int ops = 0;  ///< drawn for each image, with replacement; 0: none
  int magnitude = 9;

  [[nodiscard]] bool any() const { return ops > 0; }
  /// Throws InputError for a number out of its range.
  void check() const;
  void apply(PixelGrid image, CounterRng& rng) const;

  /// One op of the list. `backwards`: to the other side, of ops that have one.
  void apply_op(std::string_view op, bool backwards, PixelGrid image) const;
};

}  // namespace flowdarts
