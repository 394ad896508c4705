#include <algorithm>
#include <array>
#include <flowdarts/pipeline/run_directory/run_directory.hpp>
#include <flowdarts/spaces/support/error.hpp>
#include <system_error>
#include <utility>

namespace flowdarts {
namespace {

namespace fs = std::filesystem;

void make_folder(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) throw InputError("cannot make the directory " + folder.string() + ": " + error.message());
}

bool is_there(const fs::path& path) {
  std::error_code error;
  const auto type = fs::symlink_status(path, error).type();
  return type != fs::file_type::not_found && type != fs::file_type::none;
}

bool is_empty_folder(const fs::path& path) {
  std::error_code error;
  return fs::is_directory(fs::symlink_status(path, error)) && fs::is_empty(path, error);
}

void require_directory(const fs::path& root) {
  std::error_code error;
  if (!fs::is_directory(root, error)) throw InputError(root.string() + ": found no directory, expected that of a run");
}

// Leaves nothing, not even the lock file, in a directory that `check` refuses; one in use says so before anything else.
template <class Check>
DirectoryLock lock_checked(const fs::path& root, Check&& check) {
  if (!is_there(root / "lock")) check();
  DirectoryLock lock(root);
  check();
  return lock;
}

}  // namespace

RunDirectory::RunDirectory(fs::path root, FileCalls calls, DirectoryLock lock)
    : root_(std::move(root)), calls_(std::move(calls)), lock_(std::move(lock)) {}

bool RunDirectory::holds_run(const fs::path& root) {
  constexpr std::array files{"config.toml", "metrics.jsonl", "genotype.json", "genotype.dot"};
  constexpr std::array folders{"events", "checkpoints"};
  return std::ranges::any_of(files, [&](const char* name) { return is_there(root / name); }) ||
         std::ranges::any_of(folders,
                             [&](const char* name) { return is_there(root / name) && !is_empty_folder(root / name); });
}

RunDirectory RunDirectory::create(const fs::path& root, FileCalls calls) {
  make_folder(root);
  RunDirectory directory(
      root, std::move(calls), lock_checked(root, [&] {
        if (holds_run(root))
          throw InputError(root.string() + ": already holds a run; --resume continues it, or choose another directory");
      }));
  make_folder(directory.events());
  make_folder(directory.checkpoints());
  return directory;
}

RunDirectory RunDirectory::resume(const fs::path& root, FileCalls calls) {
  require_directory(root);
  RunDirectory directory(root, std::move(calls), lock_checked(root, [&] {
                           if (!holds_run(root))
                             throw InputError(root.string() + ": holds no run that --resume could continue");
                         }));
  for (const fs::path& folder : {directory.events(), directory.checkpoints()}) {
    std::error_code error;
    if (fs::is_symlink(fs::symlink_status(folder, error)))
      throw InputError(folder.string() + ": found a symbolic link, expected a directory");
    make_folder(folder);
  }
  remove_temporary_files(root, directory.calls_);
  return directory;
}

void RunDirectory::write_text(std::string_view name, std::string_view text) const {
  const bool plain = !name.empty() && name != "." && name != ".." && name.find('/') == std::string_view::npos &&
                     name.find('\0') == std::string_view::npos;
  if (!plain)
    throw InputError(root_.string() + ": found the file name '" + std::string(name) +
                     "', expected one without folders");
  write_file_atomically(root_ / name, text, calls_);
}

}  // namespace flowdarts
