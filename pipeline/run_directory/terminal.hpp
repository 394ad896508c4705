#pragma once
// Standard error shared by log lines and one live line at its bottom.

#include <unistd.h>

#include <mutex>
#include <string>
#include <string_view>

namespace flowdarts {

/// Prints lines above a status line that stays last and is redrawn in place. Thread-safe. Where the file descriptor is
/// no terminal (or TERM is "dumb"), there is no status line and lines are written as they are. Failed writes are
/// ignored: there is nowhere left to report them.
class Terminal {
 public:
  explicit Terminal(int fd = STDERR_FILENO);
  /// Takes the status line away.
  ~Terminal();

  bool live() const { return live_; }
  /// The terminal's width now; 80 where it does not say.
  int columns() const;

  /// `text` is one or more whole lines, each with its newline.
  void print(std::string_view text);
  /// Replaces the status line; an empty one takes it away. Must be narrower than columns() and hold no newline.
  void set_status(std::string_view line);

 private:
  void write(std::string_view text) const;

  int fd_;
  bool live_;
  std::mutex mutex_;
  std::string status_;
};

}  // namespace flowdarts
