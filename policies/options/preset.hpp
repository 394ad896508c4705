#pragma once

#include <string>
#include <utility>
#include <vector>

namespace flowdarts {

/// A named set of option values, given as (flag without dashes, text).
struct Preset {
  std::string name;
  std::string help;
  std::vector<std::pair<std::string, std::string>> values;
};

}  // namespace flowdarts
