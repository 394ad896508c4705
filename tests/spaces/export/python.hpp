#pragma once
// Python scripts beside the tests, which check with others' readers what is written here.

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <array>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace flowdarts::testing {

struct PythonResult {
  int code = -1;
  std::string output;  // stdout, and stderr where it fails
  /// Whether a Python package is missing; `output` says which.
  [[nodiscard]] bool skipped() const { return code == 77; }
};

/// Runs tests/spaces/export/`script` with the Python of build/venv, or else python3. No argument may hold a single
/// quote.
inline PythonResult run_python(const std::string& script, const std::vector<std::string>& arguments) {
  const std::filesystem::path source = FLOWDARTS_SOURCE_DIR, venv = source / "build/venv/bin/python3";
  std::string command = "OMP_WAIT_POLICY=passive PYTHONDONTWRITEBYTECODE=1 '" +
                        (std::filesystem::exists(venv) ? venv.string() : "python3") + "' '" +
                        (source / "tests/spaces/export" / script).string() + "'";
  for (const std::string& argument : arguments) command += " '" + argument + "'";
  // Python's warnings are not what is asked for; a failure's traceback is.
  const std::string errors = ::testing::TempDir() + "/python-" + std::to_string(::getpid()) + ".err";
  command += " 2>'" + errors + "'";
  const auto close = [](std::FILE* pipe) { return ::pclose(pipe); };
  std::FILE* pipe = ::popen(command.c_str(), "r");
  if (pipe == nullptr) return {};
  PythonResult result;
  std::array<char, 4096> part{};
  while (const std::size_t size = std::fread(part.data(), 1, part.size(), pipe)) {
    result.output.append(part.data(), size);
  }
  const int status = close(pipe);
  result.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  if (result.code != 0) {
    if (std::FILE* file = std::fopen(errors.c_str(), "r")) {
      while (const std::size_t size = std::fread(part.data(), 1, part.size(), file)) {
        result.output.append(part.data(), size);
      }
      std::fclose(file);
    }
  }
  std::filesystem::remove(errors);
  return result;
}

}  // namespace flowdarts::testing
