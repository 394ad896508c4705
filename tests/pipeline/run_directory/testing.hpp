#pragma once
// What the tests of the run directory share: folders that vanish, child processes, and file calls that fail.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <flowdarts/pipeline/run_directory/atomic_file.hpp>
#include <flowdarts/spaces/support/error.hpp>
#include <memory>
#include <string>
#include <thread>
#include <utility>

namespace flowdarts::testing {

class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "flowdarts-XXXXXX").string();
    if (!::mkdtemp(name.data())) throw std::runtime_error("mkdtemp failed");
    path_ = name;
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  ~TemporaryFolder() { std::filesystem::remove_all(path_); }

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

inline int count_temporary_files(const std::filesystem::path& folder) {
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) count += entry.path().extension() == ".tmp";
  return count;
}

/// The message of the exception that `call` must throw.
template <class Error, class Call>
std::string message_of(Call&& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return "";
}

/// A forked child that runs `body` and exits with what it returns (111 where it throws).
class Child {
 public:
  template <class Body>
  explicit Child(Body&& body) : pid_(::fork()) {
    if (pid_ != 0) return;
    int status = 111;
    try {
      status = body();
    } catch (...) {
    }
    ::_exit(status);
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() {
    if (pid_ <= 0) return;
    kill(SIGKILL);
    wait();
  }

  pid_t pid() const { return pid_; }
  void kill(int signal) const { ::kill(pid_, signal); }
  /// The exit status; 1000 + n where signal n ended it.
  int wait() {
    int status = 0;
    ::waitpid(std::exchange(pid_, -1), &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
  }

 private:
  pid_t pid_;
};

class Pipe {
 public:
  Pipe() {
    if (::pipe2(ends_.data(), O_CLOEXEC) != 0) throw std::runtime_error("pipe failed");
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  ~Pipe() {
    ::close(ends_[0]);
    ::close(ends_[1]);
  }
  int read_end() const { return ends_[0]; }
  int write_end() const { return ends_[1]; }

 private:
  std::array<int, 2> ends_{};
};

/// What can be read from `fd` now, after waiting at most `timeout` for its first byte.
inline std::string read_available(int fd, std::chrono::milliseconds timeout = std::chrono::seconds(10)) {
  std::string text;
  pollfd poll{fd, POLLIN, 0};
  while (::poll(&poll, 1, static_cast<int>(text.empty() ? timeout.count() : 0)) > 0 && (poll.revents & POLLIN) != 0) {
    std::array<char, 4096> buffer{};
    const ssize_t size = ::read(fd, buffer.data(), buffer.size());
    if (size <= 0) break;
    text.append(buffer.data(), static_cast<std::size_t>(size));
  }
  return text;
}

enum class Fault {
  fail,        // the call does nothing and fails
  fail_on,     // so do all calls after it
  crash,       // the process ends before the call
  half,        // a write writes half of its bytes; other calls do as ever
  half_fail,   // a write writes half of its bytes, and the next call fails
  half_crash,  // a write writes half of its bytes, then the process ends
};

/// File calls of which number `at`, counted from 1 over all kinds, has the fault. `*count` counts the calls made.
inline FileCalls faulty_calls(int at, Fault fault, int error, std::shared_ptr<int> count) {
  const FileCalls real;
  // True where the call must fail.
  const auto before = [=] {
    const int number = ++*count;
    if (number == at && fault == Fault::crash) ::_exit(0);
    const bool fails = (number == at && fault == Fault::fail) || (number >= at && fault == Fault::fail_on) ||
                       (number == at + 1 && fault == Fault::half_fail);
    if (fails) errno = error;
    return fails;
  };
  FileCalls calls;
  calls.open = [=](const char* path, int flags, mode_t mode) { return before() ? -1 : real.open(path, flags, mode); };
  calls.write = [=](int fd, const void* data, std::size_t size) -> ssize_t {
    if (before()) return -1;
    const bool half = *count == at && fault >= Fault::half;
    const ssize_t written = real.write(fd, data, half ? (size + 1) / 2 : size);
    if (half && fault == Fault::half_crash) ::_exit(0);
    return written;
  };
  calls.ftruncate = [=](int fd, off_t size) { return before() ? -1 : real.ftruncate(fd, size); };
  // No real fsync: it shows only after a power failure, and costs these tests most of their time.
  calls.fsync = [=](int) { return before() ? -1 : 0; };
  calls.close = [=](int fd) {
    // A close that fails has closed all the same.
    const bool fails = before();
    const int failed = errno;
    const int result = real.close(fd);
    if (!fails) return result;
    errno = failed;
    return -1;
  };
  calls.rename = [=](const char* from, const char* to) { return before() ? -1 : real.rename(from, to); };
  calls.unlink = [=](const char* path) { return before() ? -1 : real.unlink(path); };
  return calls;
}

}  // namespace flowdarts::testing
