#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace flowdarts::report {

/// What a program writes to stdout when it reads `input` from stdin. `command`: its name, found on PATH, and its
/// arguments; no shell is involved. Throws RunError where it is missing, naming the Debian `package` to install, and
/// where it fails, with the first line that it wrote to stderr.
std::string output_of(const std::vector<std::string>& command, std::string_view input, std::string_view package);

}  // namespace flowdarts::report
