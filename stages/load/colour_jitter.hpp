#pragma once
// Random brightness, contrast, saturation and hue, as torchvision's ColorJitter on Pillow images.

#include <flowdarts/spaces/support/random.hpp>
#include <flowdarts/stages/load/colour_ops.hpp>

namespace flowdarts {

/// Factors uniform in [max(0, 1 - amount), 1 + amount]; the hue is shifted by U(-hue, hue) of the colour circle. The
/// four follow one another in random order; one whose amount is 0 is left out.
struct ColourJitter {
  double brightness = 0, contrast = 0, saturation = 0;  ///< at least 0
  double hue = 0;                                       ///< 0 to 1/2

  [[nodiscard]] bool any() const { return brightness > 0 || contrast > 0 || saturation > 0 || hue > 0; }
  /// Throws InputError for an amount out of its range.
  void check() const;
  [[nodiscard]] ColourSteps draw(CounterRng& rng) const;
};

}  // namespace flowdarts
