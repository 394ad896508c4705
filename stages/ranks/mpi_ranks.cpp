#include <mpi.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstring>
#include <flowdarts/spaces/support/error.hpp>
#include <flowdarts/stages/ranks/launched.hpp>
#include <flowdarts/stages/ranks/mpi_communicator.hpp>
#include <flowdarts/stages/ranks/ranks.hpp>
#include <flowdarts/stages/ranks/watch.hpp>
#include <optional>
#include <vector>

namespace flowdarts {
namespace {

/// MPI, from its beginning to its end.
class Mpi {
 public:
  Mpi() {
    int provided = 0;
    MPI_Init_thread(nullptr, nullptr, MPI_THREAD_MULTIPLE, &provided);
    if (provided < MPI_THREAD_MULTIPLE) {
      MPI_Finalize();
      throw InputError("MPI: found a library that one thread at a time may call, expected MPI_THREAD_MULTIPLE");
    }
  }
  Mpi(const Mpi&) = delete;
  Mpi& operator=(const Mpi&) = delete;
  ~Mpi() { MPI_Finalize(); }
};

class MpiRanks final : public Ranks {
 public:
  MpiRanks(const std::string& program, const WatchSettings& settings) {
    MPI_Comm_rank(MPI_COMM_WORLD, &rank_);
    MPI_Comm_size(MPI_COMM_WORLD, &size_);
    MPI_Comm_dup(MPI_COMM_WORLD, &watch_comm_);
    MPI_Comm_set_errhandler(watch_comm_, MPI_ERRORS_RETURN);
    find_neighbours();
    watch_.emplace(watch_comm_, peers(), program, settings, calls_);
  }
  ~MpiRanks() override {
    watch_.reset();
    MPI_Comm_free(&watch_comm_);
  }

  [[nodiscard]] int rank() const override { return rank_; }
  [[nodiscard]] int size() const override { return size_; }
  [[nodiscard]] int local_rank() const override { return local_rank_; }
  [[nodiscard]] int local_size() const override { return local_size_; }
  [[nodiscard]] std::shared_ptr<Communicator> open() override {
    return std::make_shared<MpiCommunicator>(MPI_COMM_WORLD, calls_);
  }
  void listen(Listener listener) override { watch_->listen(std::move(listener)); }
  void tell(const std::string& line) override { watch_->tell(line); }
  [[noreturn]] void fail(const std::string& reason, int exit_code) override { watch_->fail(reason, exit_code); }

 private:
  void find_neighbours() {
    MPI_Comm host = MPI_COMM_NULL;
    MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, rank_, MPI_INFO_NULL, &host);
    MPI_Comm_rank(host, &local_rank_);
    MPI_Comm_size(host, &local_size_);
    neighbours_.resize(static_cast<std::size_t>(local_size_));
    MPI_Allgather(&rank_, 1, MPI_INT, neighbours_.data(), 1, MPI_INT, host);
    MPI_Comm_free(&host);
  }

  [[nodiscard]] std::vector<Watch::Peer> peers() const {
    struct Card {
      std::array<char, 64> host{};
      pid_t pid = 0;
    };
    Card own;
    ::gethostname(own.host.data(), own.host.size() - 1);
    own.pid = ::getpid();
    std::vector<Card> cards(static_cast<std::size_t>(size_));
    MPI_Allgather(&own, sizeof own, MPI_BYTE, cards.data(), sizeof own, MPI_BYTE, MPI_COMM_WORLD);
    std::vector<Watch::Peer> peers;
    for (const Card& card : cards) peers.push_back({card.host.data(), card.pid, false});
    // Containers on one host may not see each other's processes: those are judged by what is heard of them.
    for (const int neighbour : neighbours_) {
      Watch::Peer& peer = peers[static_cast<std::size_t>(neighbour)];
      peer.visible = ::kill(peer.pid, 0) == 0;
    }
    return peers;
  }

  Mpi mpi_;
  int rank_ = 0, size_ = 1, local_rank_ = 0, local_size_ = 1;
  std::vector<int> neighbours_;
  MPI_Comm watch_comm_ = MPI_COMM_NULL;
  std::shared_ptr<std::atomic<std::int64_t>> calls_ = std::make_shared<std::atomic<std::int64_t>>(0);
  std::optional<Watch> watch_;
};

}  // namespace

std::unique_ptr<Ranks> open_ranks(const std::string& program, const WatchSettings& watch) {
  if (launched_processes() <= 1) return std::make_unique<Ranks>();
  return std::make_unique<MpiRanks>(program, watch);
}

}  // namespace flowdarts
