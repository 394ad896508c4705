#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <ctime>
#include <flowdarts/pipeline/run_directory/host.hpp>
#include <flowdarts/pipeline/run_directory/lock.hpp>
#include <flowdarts/spaces/support/error.hpp>
#include <string_view>
#include <system_error>
#include <utility>

namespace flowdarts {
namespace {

[[noreturn]] void fail(const std::filesystem::path& path, int error) {
  throw RunError("cannot lock " + path.string() + ": " + std::generic_category().message(error));
}

// The line in the file, made fit to be printed whatever a crash left there.
std::string read_holder(int fd) {
  std::array<char, 512> buffer{};
  const ssize_t size = ::pread(fd, buffer.data(), buffer.size(), 0);
  std::string holder(buffer.data(), static_cast<std::size_t>(std::max<ssize_t>(size, 0)));
  holder.erase(std::ranges::find(holder, '\n'), holder.end());
  std::ranges::replace_if(
      holder, [](char c) { return c < ' ' || c > '~'; }, '?');
  return holder;
}

}  // namespace

DirectoryLock::DirectoryLock(const std::filesystem::path& folder) {
  const auto path = folder / "lock";
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0666);
  if (fd < 0) fail(path, errno);
  fd_ = fd;
  const auto fail_and_close = [&](int error) {
    ::close(std::exchange(fd_, -1));
    fail(path, error);
  };
  if (::flock(fd, LOCK_EX | LOCK_NB) < 0) {
    if (errno != EWOULDBLOCK) fail_and_close(errno);
    const std::string holder = read_holder(fd);
    ::close(std::exchange(fd_, -1));
    throw InputError(folder.string() + ": is in use by " + (holder.empty() ? "another process" : holder) +
                     "; wait for it or choose another directory");
  }
  if (std::string holder = read_holder(fd); !holder.empty()) stale_holder_ = std::move(holder);
  const std::string text =
      "pid " + std::to_string(::getpid()) + " on " + host_name() + " since " + utc_text(std::time(nullptr)) + "\n";
  if (::ftruncate(fd, 0) < 0) fail_and_close(errno);
  const ssize_t written = ::pwrite(fd, text.data(), text.size(), 0);
  if (written != static_cast<ssize_t>(text.size())) fail_and_close(written < 0 ? errno : ENOSPC);
}

DirectoryLock::DirectoryLock(DirectoryLock&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), stale_holder_(std::move(other.stale_holder_)) {}

DirectoryLock& DirectoryLock::operator=(DirectoryLock&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(stale_holder_, other.stale_holder_);
  return *this;
}

DirectoryLock::~DirectoryLock() {
  if (fd_ < 0) return;
  // The file stays: removing it would let a process that just opened it hold a lock nobody else sees.
  if (::ftruncate(fd_, 0) < 0) {
    // Still released; the next holder is told of a stale lock at worst.
  }
  ::close(fd_);
}

}  // namespace flowdarts
