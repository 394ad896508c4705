#pragma once
// Commands that are programs of their own beside `flowdarts`, as git has them: what needs LibTorch, which costs a third
// of a second to load, is not linked into the others.

#include <array>
#include <string_view>

namespace flowdarts::app {

/// `flowdarts NAME ...` is run by the program flowdarts-NAME.
struct HandedOver {
  std::string_view name;
  std::string_view help;
};

inline constexpr std::array handed_over{
    HandedOver{"train", "Train the stand-alone network of an architecture"},
};

/// Where the first argument is such a command, becomes its program, which sees the arguments after it and is called
/// "flowdarts NAME"; else returns. Throws RunError where the program is missing.
void hand_over(int argc, char** argv);

/// Becomes the program flowdarts-NAME of the command in argv[1], as hand_over() does.
[[noreturn]] void become_command(int argc, char** argv);

}  // namespace flowdarts::app
