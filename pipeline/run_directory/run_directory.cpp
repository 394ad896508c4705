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

void require_directory(const fs::path& root) {
  if (!fs::is_directory(fs::status(root)))
    throw InputError(root.string() + ": found no directory, expected that of a run");
}

}  // namespace

RunDirectory::RunDirectory(fs::path root, FileCalls calls)
    : root_(std::move(root)), calls_(std::move(calls)), lock_(root_) {}

bool RunDirectory::holds_run(const fs::path& root) {
  constexpr std::array names{"config.toml", "metrics.jsonl", "events", "checkpoints", "genotype.json", "genotype.dot"};
  return std::ranges::any_of(names, [&](const char* name) { return fs::exists(fs::symlink_status(root / name)); });
}

RunDirectory RunDirectory::create(const fs::path& root, FileCalls calls) {
  make_folder(root);
  // Nothing is written into a directory that is refused; one in use says so first.
  const auto refuse_run = [&] {
    if (holds_run(root))
      throw InputError(root.string() + ": already holds a run; --resume continues it, or choose another directory");
  };
  if (!fs::exists(fs::symlink_status(root / "lock"))) refuse_run();
  RunDirectory directory(root, std::move(calls));
  refuse_run();
  make_folder(directory.events());
  make_folder(directory.checkpoints());
  return directory;
}

RunDirectory RunDirectory::resume(const fs::path& root, FileCalls calls) {
  require_directory(root);
  if (!holds_run(root)) throw InputError(root.string() + ": holds no run that --resume could continue");
  RunDirectory directory(root, std::move(calls));
  for (const fs::path& folder : {directory.events(), directory.checkpoints()}) {
    if (fs::is_symlink(fs::symlink_status(folder)))
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
