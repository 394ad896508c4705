#include <algorithm>
#include <array>
#include <cstddef>
#include <flowdarts/spaces/support/error.hpp>
#include <flowdarts/stages/load/colour_jitter.hpp>
#include <span>
#include <string>

namespace flowdarts {

void ColourJitter::check() const {
  const auto refuse_unless = [](bool fits, const char* what, double value, const char* expected) {
    if (!fits) throw InputError(std::string(what) + " jitter of " + std::to_string(value) + ", expected " + expected);
  };
  refuse_unless(brightness >= 0, "brightness", brightness, "at least 0");
  refuse_unless(contrast >= 0, "contrast", contrast, "at least 0");
  refuse_unless(saturation >= 0, "saturation", saturation, "at least 0");
  refuse_unless(hue >= 0 && hue <= 0.5, "hue", hue, "0 to 0.5");
}

ColourSteps ColourJitter::draw(CounterRng& rng) const {
  ColourSteps colours;
  if (!any()) return colours;
  std::array<int, 4> order{0, 1, 2, 3};
  rng.shuffle(std::span<int>(order));
  const auto add = [&](ColourOp op, double amount) {
    colours.steps[colours.count++] = {op, static_cast<float>(amount)};
  };
  const auto factor = [&](double amount) { return rng.uniform(std::max(0.0, 1.0 - amount), 1.0 + amount); };
  for (const int step : order) {
    if (step == 0 && brightness > 0) add(ColourOp::brightness, factor(brightness));
    if (step == 1 && contrast > 0) add(ColourOp::contrast, factor(contrast));
    if (step == 2 && saturation > 0) add(ColourOp::saturation, factor(saturation));
    if (step == 3 && hue > 0) add(ColourOp::hue, hue_steps(rng.uniform(-hue, hue)));
  }
  return colours;
}

}  // namespace flowdarts
