#pragma once
// Keeps two processes from writing to one run directory.

#include <filesystem>
#include <optional>
#include <string>

namespace flowdarts {

/// Holds `folder`/lock as long as it lives, by flock(2), which ends with the process however that ends. The file says
/// who holds it: "pid 1234 on host since 2025-01-31T12:00:00Z"; after an orderly release it is empty. Child processes
/// that are forked (not exec'ed) share the lock.
class DirectoryLock {
 public:
  /// Throws InputError that names the holder where another process, or another object of this one, has it; RunError
  /// where the file cannot be opened or the file system has no locks.
  explicit DirectoryLock(const std::filesystem::path& folder);
  DirectoryLock(DirectoryLock&& other) noexcept;
  DirectoryLock& operator=(DirectoryLock&& other) noexcept;
  ~DirectoryLock();

  /// The holder that ended without releasing (kill -9, power failure) and whose lock this one took over.
  const std::optional<std::string>& stale_holder() const { return stale_holder_; }

 private:
  int fd_ = -1;
  std::optional<std::string> stale_holder_;
};

}  // namespace flowdarts
