#pragma once

#include <flowdarts/spaces/support/preset.hpp>
#include <string_view>

namespace flowdarts {

/// What `paper` sets for IS-DARTS and for its ablations alike (He et al., AAAI 2024); each of their policies adds its
/// own. On the DARTS space the cells are those of the paper's code; of the MobileNet-like space it says nothing.
inline Preset is_darts_preset(std::string_view space) {
  if (space == "mobilenet") return {.name = "paper", .values = {{"w-nesterov", "true"}}};
  const bool darts = space == "darts";
  Preset preset{.name = "paper",
                .values = {{"epochs", darts ? "50" : "30"}, {"w-nesterov", "true"}, {"track-statistics", "false"}}};
  if (darts) {
    preset.values.insert(preset.values.end(), {{"pool-norm", "false"}, {"conv-bias", "true"}, {"last-norm", "true"}});
  }
  return preset;
}

}  // namespace flowdarts
