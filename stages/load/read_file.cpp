#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <flowdarts/spaces/support/error.hpp>
#include <flowdarts/stages/load/file_descriptor.hpp>
#include <flowdarts/stages/load/read_file.hpp>
#include <system_error>

namespace flowdarts {
namespace {

[[noreturn]] void fail(const std::filesystem::path& file, const std::string& reason) {
  throw InputError(printable(file) + ": " + reason);
}

}  // namespace

std::string printable(const std::filesystem::path& path) {
  std::string text = path.string();
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) c = '?';
  }
  return text;
}

std::vector<std::uint8_t> read_file(const std::filesystem::path& file, std::uint64_t max_bytes) {
  const FileDescriptor fd(file);
  struct stat status {};
  if (fd.get() < 0 || ::fstat(fd.get(), &status) != 0) {
    fail(file, "cannot be read: " + std::generic_category().message(errno));
  }
  if (!S_ISREG(status.st_mode)) fail(file, "is not a regular file");
  const auto size = static_cast<std::uint64_t>(status.st_size);
  if (size > max_bytes) {
    fail(file, "holds " + std::to_string(size) + " bytes, expected at most " + std::to_string(max_bytes));
  }
  std::vector<std::uint8_t> bytes(size);
  std::size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t got = ::read(fd.get(), bytes.data() + done, bytes.size() - done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail(file, "cannot be read: " + std::generic_category().message(errno));
    if (got == 0) fail(file, "shrank while it was read");
    done += static_cast<std::size_t>(got);
  }
  return bytes;
}

}  // namespace flowdarts
