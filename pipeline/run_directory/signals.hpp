#pragma once
// SIGINT and SIGTERM: the first asks a program to stop at a good place, the second ends it.

#include <signal.h>

namespace flowdarts {

/// While it lives, the first SIGINT or SIGTERM writes one line to stderr, unless it is to be silent, and is remembered;
/// the second ends the process at once with status 128 + its number. At most one at a time: a second object throws
/// std::logic_error.
class StopSignals {
 public:
  explicit StopSignals(bool silent = false);
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;
  /// Restores the handlers there were before.
  ~StopSignals();

  /// The number of the first signal, 0 before it. From any thread.
  int requested() const;

 private:
  struct sigaction previous_int_ {};
  struct sigaction previous_term_ {};
};

}  // namespace flowdarts
