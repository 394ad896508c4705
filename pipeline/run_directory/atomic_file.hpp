#pragma once
// Files that survive a crash: whole files that appear at once or not at all, and files that only grow.

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace flowdarts {

/// The system calls that write files, with the meaning POSIX gives them (-1 and errno on failure). Tests replace one to
/// make it fail, write short or end the process. `write` never raises SIGXFSZ: past RLIMIT_FSIZE it fails with EFBIG.
struct FileCalls {
  FileCalls();

  std::function<int(const char* path, int flags, mode_t mode)> open;
  std::function<ssize_t(int fd, const void* data, std::size_t size)> write;
  std::function<int(int fd, off_t size)> ftruncate;
  std::function<int(int fd)> fsync;
  std::function<int(int fd)> close;
  std::function<int(const char* from, const char* to)> rename;
  std::function<int(const char* path)> unlink;
};

/// Writes a temporary file beside `path`, fsync, rename, fsync of the folder: whenever the process or the machine
/// stops, `path` holds either its old content or all of the new one. Throws RunError with the path and the reason; the
/// temporary file is removed then, and what `path` held is unharmed.
void write_file_atomically(const std::filesystem::path& path, std::span<const std::byte> bytes,
                           const FileCalls& calls = {});
void write_file_atomically(const std::filesystem::path& path, std::string_view text, const FileCalls& calls = {});

/// Removes what a killed write_file_atomically left in `folder` (regular files "*.tmp"). Only for a folder that no
/// other process writes to. Throws RunError.
void remove_temporary_files(const std::filesystem::path& folder, const FileCalls& calls = {});

/// The whole of a regular file. Throws InputError with the path and the reason.
std::vector<std::byte> read_file(const std::filesystem::path& path);
std::string read_text_file(const std::filesystem::path& path);

/// A file that only grows. Each append is one write(), or none of it is left behind: after a short write the rest
/// follows, after a failed one the file is cut back to what it was. Opened for append, created where it is missing; a
/// symbolic link is refused. Throws RunError with the path and the reason. Not thread-safe.
class AppendFile {
 public:
  explicit AppendFile(std::filesystem::path path, FileCalls calls = {});
  /// Fails with EEXIST where the file is there already.
  static AppendFile create_new(std::filesystem::path path, FileCalls calls = {});
  AppendFile(AppendFile&& other) noexcept;
  AppendFile& operator=(AppendFile&& other) noexcept;
  ~AppendFile();

  void append(std::span<const std::byte> bytes);
  void append(std::string_view text);
  /// Until this returns, a power failure may lose what was appended; the end of the process alone loses nothing.
  void sync();

  const std::filesystem::path& path() const { return path_; }
  std::uint64_t size() const { return size_; }

 private:
  AppendFile(std::filesystem::path path, FileCalls calls, int extra_flags);

  std::filesystem::path path_;
  FileCalls calls_;
  int fd_ = -1;
  std::uint64_t size_ = 0;
};

}  // namespace flowdarts
