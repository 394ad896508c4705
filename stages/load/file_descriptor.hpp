#pragma once
// An open file, closed at the end.

#include <fcntl.h>
#include <unistd.h>

#include <filesystem>
#include <utility>

namespace flowdarts {

/// A file opened for reading. Where that failed, get() is -1 and errno says why.
class FileDescriptor {
 public:
  // O_NONBLOCK: opening a FIFO must not wait for a writer.
  explicit FileDescriptor(const std::filesystem::path& file)
      : fd_(::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {}
  FileDescriptor(FileDescriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~FileDescriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  [[nodiscard]] int get() const { return fd_; }

 private:
  int fd_;
};

}  // namespace flowdarts
