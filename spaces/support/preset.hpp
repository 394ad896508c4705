#pragma once

#include <string>
#include <utility>
#include <vector>

namespace flowdarts {

/// A named set of option values, given as (flag without dashes, text). The space and each policy may add values to a
/// preset of one name: static std::vector<Preset> presets(), presets(std::string_view space). One with a base changes
/// what the preset of that name says, all of it.
struct Preset {
  std::string name;
  std::string help = {};
  std::vector<std::pair<std::string, std::string>> values = {};
  std::string base = {};  ///< empty: none
};

}  // namespace flowdarts
