#pragma once
// How the ranks of a search notice that one of them is gone, failed or slow.

#include <mpi.h>
#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <flowdarts/stages/ranks/ranks.hpp>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace flowdarts {

/// A thread in each rank that exchanges small messages with rank 0: signs of life with the number of collective calls
/// made, lines to be told, failures, and the order to end. Death is seen at once by the ranks on the same host, which
/// look at each other's process, and by its silence elsewhere.
class Watch {
 public:
  struct Peer {
    std::string host;
    pid_t pid = 0;
    bool visible = false;  ///< on this host, as a process that can be looked at
  };

  /// `comm`: nobody else's, with errors returned. `calls`: collective calls of this process.
  Watch(MPI_Comm comm, std::vector<Peer> peers, std::string program, const WatchSettings& settings,
        std::shared_ptr<const std::atomic<std::int64_t>> calls);
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;
  /// Stops looking, in all ranks together: collective.
  ~Watch();

  void listen(Ranks::Listener listener);
  void tell(const std::string& line);
  [[noreturn]] void fail(const std::string& reason, int exit_code);

 private:
  using Clock = std::chrono::steady_clock;

  enum class Kind : int { life = 1, line, failure, end };

  struct Message {
    int to = 0;
    Kind kind = Kind::life;
    std::vector<char> bytes;
  };
  struct Sent {
    std::vector<char> bytes;
    MPI_Request request = MPI_REQUEST_NULL;
  };

  void run();
  void send_queued();
  void receive();
  void take(Kind kind, int from, const std::vector<char>& bytes);
  void deliver(const std::string& line);
  void look_at_processes();
  void look_at_silence();
  void look_at_lag();
  void give_up(int culprit, const std::string& reason, int exit_code);
  [[noreturn]] void end_all(int culprit, const std::string& reason, int exit_code);
  void enqueue(int to, Kind kind, std::vector<char> bytes);
  [[nodiscard]] std::string name_of(int rank) const;

  MPI_Comm comm_;
  int rank_ = 0, size_ = 1;
  std::vector<Peer> peers_;
  std::string program_;
  WatchSettings settings_;
  std::shared_ptr<const std::atomic<std::int64_t>> calls_;

  std::mutex mutex_;  // guards queue_ and listener_
  std::deque<Message> queue_;
  Ranks::Listener listener_;
  std::list<Sent> sent_;

  struct Seen {
    Clock::time_point heard, moved;
    std::int64_t calls = 0;
    bool named = false;
  };
  std::vector<Seen> seen_;
  Clock::time_point next_life_;
  std::atomic<bool> stop_{false};
  std::atomic<bool> ending_{false};
  std::thread thread_;
};

}  // namespace flowdarts
