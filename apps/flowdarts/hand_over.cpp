#include "hand_over.hpp"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <flowdarts/spaces/support/error.hpp>
#include <string>
#include <vector>

namespace flowdarts::app {

void hand_over(int argc, char** argv) {
  if (argc < 2 || std::ranges::find(handed_over, std::string_view(argv[1]), &HandedOver::name) == handed_over.end()) {
    return;
  }
  become_command(argc, argv);
}

void become_command(int argc, char** argv) {
  const std::string command = argv[1];
  const std::string program =
      (std::filesystem::read_symlink("/proc/self/exe").parent_path() / ("flowdarts-" + command)).string();
  std::string called = "flowdarts " + command;
  std::vector<char*> arguments{called.data()};
  arguments.insert(arguments.end(), argv + 2, argv + argc);
  arguments.push_back(nullptr);
  ::execv(program.c_str(), arguments.data());
  throw RunError(command + ": cannot run " + program + ": " + std::strerror(errno));
}

}  // namespace flowdarts::app
