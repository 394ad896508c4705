#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <flowdarts/pipeline/run_directory/atomic_file.hpp>
#include <flowdarts/spaces/support/error.hpp>
#include <memory>
#include <system_error>
#include <utility>

namespace flowdarts {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(std::string_view action, const fs::path& path, int error) {
  throw RunError("cannot " + std::string(action) + " " + path.string() + ": " + std::generic_category().message(error));
}

[[noreturn]] void cannot_read(const fs::path& path, std::string_view reason) {
  throw InputError("cannot read " + path.string() + ": " + std::string(reason));
}

// Beyond RLIMIT_FSIZE the kernel sends this thread SIGXFSZ, which ends the process unless it is blocked here.
ssize_t write_without_size_signal(int fd, const void* data, std::size_t size) {
  sigset_t size_signal;
  sigset_t before;
  sigemptyset(&size_signal);
  sigaddset(&size_signal, SIGXFSZ);
  pthread_sigmask(SIG_BLOCK, &size_signal, &before);
  const ssize_t written = ::write(fd, data, size);
  const int error = errno;
  if (written < 0 && error == EFBIG && sigismember(&before, SIGXFSZ) == 0) {
    const timespec now{};
    sigtimedwait(&size_signal, nullptr, &now);
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  errno = error;
  return written;
}

template <class Call>
auto retry_interrupted(Call&& call) {
  auto result = call();
  while (result < 0 && errno == EINTR) result = call();
  return result;
}

// 0, or the errno of the call that failed.
int write_all(int fd, std::span<const std::byte> bytes, const FileCalls& calls) {
  while (!bytes.empty()) {
    const ssize_t written = retry_interrupted([&] { return calls.write(fd, bytes.data(), bytes.size()); });
    if (written < 0) return errno;
    if (written == 0) return EIO;
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
  return 0;
}

int sync_folder(const fs::path& folder, const FileCalls& calls) {
  const int fd = retry_interrupted([&] { return calls.open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0); });
  if (fd < 0) return errno;
  // Some file systems have no fsync for folders and say EINVAL; they keep renames in order by themselves.
  const int error = retry_interrupted([&] { return calls.fsync(fd); }) < 0 && errno != EINVAL ? errno : 0;
  calls.close(fd);
  return error;
}

fs::path folder_of(const fs::path& path) {
  return path.has_parent_path() ? path.parent_path() : fs::path(".");
}

std::pair<int, fs::path> open_temporary(const fs::path& path, const FileCalls& calls) {
  for (int attempt = 0;; ++attempt) {
    fs::path temporary = path;
    temporary.concat(".").concat(std::to_string(::getpid())).concat(".").concat(std::to_string(attempt)).concat(".tmp");
    const int fd = retry_interrupted(
        [&] { return calls.open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666); });
    if (fd >= 0) return {fd, std::move(temporary)};
    if (errno != EEXIST) fail("write", path, errno);
  }
}

bool is_temporary_name(const fs::path& path) {
  const auto is_number = [](const std::string& extension) {
    return extension.size() > 1 && extension.find_first_not_of("0123456789", 1) == std::string::npos;
  };
  const fs::path attempt = path.stem();
  const fs::path pid = attempt.stem();
  return path.extension() == ".tmp" && is_number(attempt.extension()) && is_number(pid.extension());
}

template <class Buffer>
Buffer read_regular_file(const fs::path& path) {
  std::error_code error;
  const auto status = fs::status(path, error);
  if (status.type() == fs::file_type::not_found) cannot_read(path, "no such file");
  if (error) cannot_read(path, error.message());
  if (!fs::is_regular_file(status)) cannot_read(path, "not a regular file");
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rbe"), &std::fclose);
  if (!file) cannot_read(path, std::generic_category().message(errno));
  const auto size = fs::file_size(path, error);
  if (error) cannot_read(path, error.message());
  Buffer buffer;
  buffer.resize(size);
  const std::size_t found = std::fread(buffer.data(), 1, buffer.size(), file.get());
  if (std::ferror(file.get()) != 0) cannot_read(path, std::generic_category().message(errno));
  buffer.resize(found);
  return buffer;
}

}  // namespace

FileCalls::FileCalls()
    : open([](const char* path, int flags, mode_t mode) { return ::open(path, flags, mode); }),
      write(&write_without_size_signal),
      ftruncate([](int fd, off_t size) { return ::ftruncate(fd, size); }),
      fsync([](int fd) { return ::fsync(fd); }),
      close([](int fd) { return ::close(fd); }),
      rename([](const char* from, const char* to) { return std::rename(from, to); }),
      unlink([](const char* path) { return ::unlink(path); }) {}

void write_file_atomically(const fs::path& path, std::span<const std::byte> bytes, const FileCalls& calls) {
  const auto [fd, temporary] = open_temporary(path, calls);
  int error = write_all(fd, bytes, calls);
  if (error == 0 && retry_interrupted([&, fd = fd] { return calls.fsync(fd); }) < 0) error = errno;
  // On Linux an interrupted close has closed; some network file systems report a failed write only here.
  if (calls.close(fd) < 0 && error == 0 && errno != EINTR) error = errno;
  if (error == 0 && calls.rename(temporary.c_str(), path.c_str()) < 0) error = errno;
  if (error != 0) {
    calls.unlink(temporary.c_str());
    fail("write", path, error);
  }
  error = sync_folder(folder_of(path), calls);
  if (error != 0) fail("sync the folder of", path, error);
}

void write_file_atomically(const fs::path& path, std::string_view text, const FileCalls& calls) {
  write_file_atomically(path, std::as_bytes(std::span(text)), calls);
}

void remove_temporary_files(const fs::path& folder, const FileCalls& calls) {
  std::error_code error;
  fs::directory_iterator entries(folder, error);
  for (; !error && entries != fs::directory_iterator(); entries.increment(error)) {
    std::error_code unknown;
    if (!is_temporary_name(entries->path()) || !fs::is_regular_file(entries->symlink_status(unknown))) continue;
    if (calls.unlink(entries->path().c_str()) < 0 && errno != ENOENT) fail("remove", entries->path(), errno);
  }
  if (error) fail("list", folder, error.value());
}

std::vector<std::byte> read_file(const fs::path& path) {
  return read_regular_file<std::vector<std::byte>>(path);
}
std::string read_text_file(const fs::path& path) {
  return read_regular_file<std::string>(path);
}

AppendFile::AppendFile(fs::path path, FileCalls calls, int extra_flags)
    : path_(std::move(path)), calls_(std::move(calls)) {
  const int flags = O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC | extra_flags;
  fd_ = retry_interrupted([&] { return calls_.open(path_.c_str(), flags, 0666); });
  if (fd_ < 0) fail("open", path_, errno);
  struct stat status {};
  if (::fstat(fd_, &status) < 0) {
    const int error = errno;
    calls_.close(fd_);
    fail("open", path_, error);
  }
  size_ = static_cast<std::uint64_t>(status.st_size);
}

AppendFile::AppendFile(fs::path path, FileCalls calls) : AppendFile(std::move(path), std::move(calls), 0) {}

AppendFile AppendFile::create_new(fs::path path, FileCalls calls) {
  return AppendFile(std::move(path), std::move(calls), O_EXCL);
}

AppendFile::AppendFile(AppendFile&& other) noexcept
    : path_(std::move(other.path_)),
      calls_(std::move(other.calls_)),
      fd_(std::exchange(other.fd_, -1)),
      size_(other.size_) {}

AppendFile& AppendFile::operator=(AppendFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(calls_, other.calls_);
  std::swap(fd_, other.fd_);
  std::swap(size_, other.size_);
  return *this;
}

AppendFile::~AppendFile() {
  if (fd_ >= 0) calls_.close(fd_);
}

void AppendFile::append(std::span<const std::byte> bytes) {
  if (const int error = write_all(fd_, bytes, calls_); error != 0) {
    calls_.ftruncate(fd_, static_cast<off_t>(size_));  // where this fails too, readers meet a torn last record
    fail("write", path_, error);
  }
  size_ += bytes.size();
}

void AppendFile::append(std::string_view text) {
  append(std::as_bytes(std::span(text)));
}

void AppendFile::sync() {
  if (retry_interrupted([&] { return calls_.fsync(fd_); }) < 0) fail("sync", path_, errno);
}

}  // namespace flowdarts
