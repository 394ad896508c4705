#include "program.hpp"

#include <spawn.h>
#include <sys/wait.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <flowdarts/spaces/support/error.hpp>
#include <memory>

extern char** environ;

namespace flowdarts::report {
namespace {

/// Without a name: gone when it is closed, however this program ends.
using TemporaryFile = std::unique_ptr<std::FILE, int (*)(std::FILE*)>;

TemporaryFile temporary_file() {
  TemporaryFile file(std::tmpfile(), &std::fclose);
  if (!file) throw RunError(std::string("cannot make a temporary file: ") + std::strerror(errno));
  return file;
}

std::string content_of(std::FILE* file) {
  std::string content;
  std::rewind(file);
  char buffer[1U << 14U];
  while (const std::size_t size = std::fread(buffer, 1, sizeof buffer, file)) content.append(buffer, size);
  return content;
}

class FileActions {
 public:
  FileActions() { posix_spawn_file_actions_init(&actions_); }
  ~FileActions() { posix_spawn_file_actions_destroy(&actions_); }
  FileActions(const FileActions&) = delete;
  FileActions& operator=(const FileActions&) = delete;

  void redirect(std::FILE* file, int descriptor) {
    posix_spawn_file_actions_adddup2(&actions_, fileno(file), descriptor);
  }
  [[nodiscard]] const posix_spawn_file_actions_t* get() const { return &actions_; }

 private:
  posix_spawn_file_actions_t actions_{};
};

}  // namespace

std::string output_of(const std::vector<std::string>& command, std::string_view input, std::string_view package) {
  const TemporaryFile in = temporary_file(), out = temporary_file(), err = temporary_file();
  if (std::fwrite(input.data(), 1, input.size(), in.get()) != input.size() || std::fflush(in.get()) != 0) {
    throw RunError(std::string("cannot write a temporary file: ") + std::strerror(errno));
  }
  std::rewind(in.get());
  FileActions actions;
  actions.redirect(in.get(), 0);
  actions.redirect(out.get(), 1);
  actions.redirect(err.get(), 2);
  std::vector<std::string> words = command;
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  pid_t child = -1;
  const int error = posix_spawnp(&child, arguments[0], actions.get(), nullptr, arguments.data(), environ);
  if (error == ENOENT) {
    throw RunError(command[0] + ": found no such program on the PATH, expected that of the Debian package " +
                   std::string(package) + " (apt-get install " + std::string(package) + ")");
  }
  if (error != 0) throw RunError(command[0] + ": cannot be run: " + std::strerror(error));
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
    const std::string said = content_of(err.get());
    const std::size_t begin = said.find_first_not_of(" \n");
    const std::string line = begin == std::string::npos ? "" : said.substr(begin, said.find('\n', begin) - begin);
    throw RunError(command[0] + ": failed" + (line.empty() ? " without a message" : ": " + line));
  }
  return content_of(out.get());
}

}  // namespace flowdarts::report
