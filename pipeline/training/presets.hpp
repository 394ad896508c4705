#pragma once
// The recipes by which papers train what they found. No LibTorch.

#include <flowdarts/spaces/support/preset.hpp>

#include <string_view>
#include <vector>

namespace flowdarts {

/// The recipes for networks of a space, its default first; each sets all that makes a recipe. The last one, `quick`, is
/// no paper's: it ends in minutes on two cores.
std::vector<Preset> training_presets(std::string_view space);

}  // namespace flowdarts
