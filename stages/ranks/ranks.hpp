#pragma once
// The processes of one search: who they are, how they end together. One process needs none of this and pays nothing.

#include <cstdint>
#include <exception>
#include <flowdarts/stages/ranks/communicator.hpp>
#include <functional>
#include <memory>
#include <string>

namespace flowdarts {

/// This process among those of a search. Rank 0 writes what the search leaves.
class Ranks {
 public:
  Ranks() = default;
  Ranks(const Ranks&) = delete;
  Ranks& operator=(const Ranks&) = delete;
  virtual ~Ranks() = default;

  [[nodiscard]] virtual int rank() const { return 0; }
  [[nodiscard]] virtual int size() const { return 1; }
  /// Among the processes on this host.
  [[nodiscard]] virtual int local_rank() const { return 0; }
  [[nodiscard]] virtual int local_size() const { return 1; }
  [[nodiscard]] bool several() const { return size() > 1; }
  [[nodiscard]] bool writes() const { return rank() == 0; }

  /// A communicator of its own, whose calls may run beside those of others. Collective. Null for one process.
  [[nodiscard]] virtual std::shared_ptr<Communicator> open() { return nullptr; }

  /// What rank 0 does with lines that reach it, on a thread that is none of its own.
  struct Listener {
    std::function<void(const std::string& line)> told = {};    ///< by a rank, or by the watch over them
    std::function<void(const std::string& line)> failed = {};  ///< which rank ends all of them, and why
  };
  virtual void listen(Listener /* listener */) {}

  /// Sends a line to rank 0, where it is told with this rank's number.
  virtual void tell(const std::string& /* line */) {}

  /// Ends the processes of the search, this one included, without unwinding: rank 0 says on stderr and to its listener
  /// which rank failed and why, in one line. For several processes only. From any thread.
  [[noreturn]] virtual void fail(const std::string& /* reason */, int /* exit_code */) { std::terminate(); }
};

/// How the ranks look after each other, in seconds.
struct WatchSettings {
  double lag = 60;     ///< a rank that others have waited for so long is named
  double silence = 8;  ///< a rank on another host that has not been heard of for so long is given up
};

/// The ranks that `mpirun` or `srun` started this process among; one where it was started alone. `program` begins the
/// lines on stderr. Throws InputError where this process was started among several by a build without FLOWDARTS_MPI.
[[nodiscard]] std::unique_ptr<Ranks> open_ranks(const std::string& program, const WatchSettings& watch = {});

/// fail() with what is being thrown, as programs end: 2 for bad input and 1 otherwise.
[[noreturn]] void fail(Ranks& ranks, const std::exception_ptr& error);

}  // namespace flowdarts
