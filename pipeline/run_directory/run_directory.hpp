#pragma once
// The folder that holds all a search leaves on disk.
//
//   config.toml      the complete configuration; can be run again
//   metrics.jsonl    a row an epoch (metrics.hpp)
//   events/          TensorBoard event files (tensorboard.hpp)
//   checkpoints/     the newest checkpoints (checkpoint.hpp)
//   genotype.json    the genotype found, also as
//   genotype.dot     a drawing for Graphviz
//   log.txt          what was logged (log.hpp)
//   lock             who uses the folder now (lock.hpp)

#include <filesystem>
#include <flowdarts/pipeline/run_directory/atomic_file.hpp>
#include <flowdarts/pipeline/run_directory/lock.hpp>
#include <string>
#include <string_view>

namespace flowdarts {

/// A run directory in use by this process: locked as long as it lives.
class RunDirectory {
 public:
  /// A directory for a new run, made with its parents where it is missing. Throws InputError where it holds a run
  /// already, is in use, or cannot be made.
  static RunDirectory create(const std::filesystem::path& root, FileCalls calls = {});
  /// The directory of a run to be continued. It may have no checkpoint yet, if the run was killed early. Throws
  /// InputError where there is no run, it is in use, or a part of it leads elsewhere through a symbolic link.
  static RunDirectory resume(const std::filesystem::path& root, FileCalls calls = {});
  /// Whether a run has written anything there. config.toml comes first, so that a run killed at any moment can either
  /// be resumed from its configuration or has left nothing that stands in the way of create().
  static bool holds_run(const std::filesystem::path& root);

  const std::filesystem::path& root() const { return root_; }
  std::filesystem::path config() const { return root_ / "config.toml"; }
  std::filesystem::path metrics() const { return root_ / "metrics.jsonl"; }
  std::filesystem::path events() const { return root_ / "events"; }
  std::filesystem::path checkpoints() const { return root_ / "checkpoints"; }
  std::filesystem::path genotype_json() const { return root_ / "genotype.json"; }
  std::filesystem::path genotype_dot() const { return root_ / "genotype.dot"; }
  std::filesystem::path log() const { return root_ / "log.txt"; }

  const DirectoryLock& lock() const { return lock_; }

  /// Writes a file of the directory atomically. `name` is a plain file name; throws InputError for one that would lead
  /// out of the directory, RunError where it cannot be written.
  void write_text(std::string_view name, std::string_view text) const;

 private:
  RunDirectory(std::filesystem::path root, FileCalls calls, DirectoryLock lock);

  std::filesystem::path root_;
  FileCalls calls_;
  DirectoryLock lock_;
};

}  // namespace flowdarts
