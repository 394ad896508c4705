#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <flowdarts/stages/ranks/watch.hpp>
#include <fstream>
#include <iostream>
#include <utility>

namespace flowdarts {
namespace {

using namespace std::chrono_literals;

constexpr auto look_every = 50ms;  // a launcher that sees a death ends the others within a second
constexpr auto life_every = 1s;
constexpr auto patience = 5s;  // with rank 0, for its order to end

std::vector<char> pack(int culprit, int exit_code, const std::string& reason) {
  std::vector<char> bytes(2 * sizeof(int) + reason.size());
  std::memcpy(bytes.data(), &culprit, sizeof culprit);
  std::memcpy(bytes.data() + sizeof culprit, &exit_code, sizeof exit_code);
  std::ranges::copy(reason, bytes.begin() + 2 * sizeof(int));
  return bytes;
}

bool is_zombie(pid_t pid) {
  std::ifstream status("/proc/" + std::to_string(pid) + "/stat");
  std::string text((std::istreambuf_iterator<char>(status)), std::istreambuf_iterator<char>());
  const std::size_t name_end = text.rfind(')');
  return name_end != std::string::npos && name_end + 2 < text.size() && text[name_end + 2] == 'Z';
}

}  // namespace

Watch::Watch(MPI_Comm comm, std::vector<Peer> peers, std::string program, const WatchSettings& settings,
             std::shared_ptr<const std::atomic<std::int64_t>> calls)
    : comm_(comm),
      peers_(std::move(peers)),
      program_(std::move(program)),
      settings_(settings),
      calls_(std::move(calls)),
      seen_(peers_.size(), Seen{Clock::now(), Clock::now()}),
      next_life_(Clock::now()) {
  MPI_Comm_rank(comm_, &rank_);
  MPI_Comm_size(comm_, &size_);
  thread_ = std::thread([this] { run(); });
}

Watch::~Watch() {
  // All go on looking until all are here. From then on the end of a process is no death.
  MPI_Request request = MPI_REQUEST_NULL;
  int all_here = MPI_Ibarrier(comm_, &request) == MPI_SUCCESS ? 0 : 1;
  while (all_here == 0) {
    if (MPI_Test(&request, &all_here, MPI_STATUS_IGNORE) != MPI_SUCCESS) break;
    std::this_thread::sleep_for(1ms);
  }
  stop_ = true;
  thread_.join();
}

void Watch::listen(Ranks::Listener listener) {
  const std::lock_guard lock(mutex_);
  listener_ = std::move(listener);
}

void Watch::tell(const std::string& line) {
  enqueue(0, Kind::line, {line.begin(), line.end()});
}

void Watch::fail(const std::string& reason, int exit_code) {
  if (rank_ == 0) end_all(0, reason, exit_code);
  enqueue(0, Kind::failure, pack(rank_, exit_code, reason));
  std::this_thread::sleep_for(patience);
  // No order came: rank 0 is gone or stuck, and this one's end is what the others see.
  std::cerr << program_ + ": " + name_of(rank_) + ": " + reason + "\n";
  ::_exit(exit_code);
}

void Watch::run() {
  while (!stop_) {
    if (Clock::now() >= next_life_) {
      next_life_ = Clock::now() + life_every;
      const std::int64_t calls = calls_->load(std::memory_order_relaxed);
      std::vector<char> bytes(sizeof calls);
      std::memcpy(bytes.data(), &calls, sizeof calls);
      for (int to = 0; to < size_; ++to) {
        if (to != rank_ && (rank_ == 0 || to == 0)) enqueue(to, Kind::life, bytes);
      }
      if (rank_ == 0) take(Kind::life, 0, bytes);
    }
    send_queued();
    receive();
    if (stop_) break;
    look_at_processes();
    look_at_silence();
    if (rank_ == 0) look_at_lag();
    std::this_thread::sleep_for(look_every);
  }
  for (Sent& sent : sent_) MPI_Wait(&sent.request, MPI_STATUS_IGNORE);
}

void Watch::enqueue(int to, Kind kind, std::vector<char> bytes) {
  const std::lock_guard lock(mutex_);
  queue_.push_back({to, kind, std::move(bytes)});
}

void Watch::send_queued() {
  std::deque<Message> queued;
  {
    const std::lock_guard lock(mutex_);
    queued.swap(queue_);
  }
  for (Message& message : queued) {
    if (message.to == rank_) {
      take(message.kind, rank_, message.bytes);
      continue;
    }
    Sent& sent = sent_.emplace_back(Sent{std::move(message.bytes)});
    MPI_Isend(sent.bytes.data(), static_cast<int>(sent.bytes.size()), MPI_CHAR, message.to,
              static_cast<int>(message.kind), comm_, &sent.request);
  }
  sent_.remove_if([](Sent& sent) {
    int done = 0;
    MPI_Test(&sent.request, &done, MPI_STATUS_IGNORE);
    return done != 0;
  });
}

void Watch::receive() {
  for (;;) {
    int found = 0;
    MPI_Status status;
    if (MPI_Iprobe(MPI_ANY_SOURCE, MPI_ANY_TAG, comm_, &found, &status) != MPI_SUCCESS || found == 0) return;
    int size = 0;
    MPI_Get_count(&status, MPI_CHAR, &size);
    std::vector<char> bytes(static_cast<std::size_t>(size));
    MPI_Recv(bytes.data(), size, MPI_CHAR, status.MPI_SOURCE, status.MPI_TAG, comm_, MPI_STATUS_IGNORE);
    take(static_cast<Kind>(status.MPI_TAG), status.MPI_SOURCE, bytes);
  }
}

void Watch::take(Kind kind, int from, const std::vector<char>& bytes) {
  Seen& seen = seen_[static_cast<std::size_t>(from)];
  seen.heard = Clock::now();
  switch (kind) {
    case Kind::life: {
      std::int64_t calls = 0;
      std::memcpy(&calls, bytes.data(), sizeof calls);
      if (calls != seen.calls) {
        seen.calls = calls;
        seen.moved = seen.heard;
        seen.named = false;
      }
      break;
    }
    case Kind::line:
      deliver(name_of(from) + ": " + std::string(bytes.begin(), bytes.end()));
      break;
    case Kind::failure:
    case Kind::end: {
      int culprit = 0, exit_code = 1;
      std::memcpy(&culprit, bytes.data(), sizeof culprit);
      std::memcpy(&exit_code, bytes.data() + sizeof culprit, sizeof exit_code);
      if (kind == Kind::end) ::_exit(exit_code);
      end_all(culprit, std::string(bytes.begin() + 2 * sizeof(int), bytes.end()), exit_code);
    }
  }
}

void Watch::deliver(const std::string& line) {
  const std::lock_guard lock(mutex_);
  if (listener_.told) {
    listener_.told(line);
  } else {
    std::cerr << program_ + ": " + line + "\n";
  }
}

void Watch::look_at_processes() {
  for (int peer = 0; peer < size_; ++peer) {
    const Peer& process = peers_[static_cast<std::size_t>(peer)];
    if (peer == rank_ || !process.visible) continue;
    if (::kill(process.pid, 0) == 0 && !is_zombie(process.pid)) continue;
    if (stop_) return;
    give_up(peer, "its process " + std::to_string(process.pid) + " is gone", 1);
    return;
  }
}

void Watch::look_at_silence() {
  for (int peer = 0; peer < size_; ++peer) {
    if (peer == rank_ || (rank_ != 0 && peer != 0) || peers_[static_cast<std::size_t>(peer)].visible) continue;
    const double silent =
        std::chrono::duration<double>(Clock::now() - seen_[static_cast<std::size_t>(peer)].heard).count();
    if (silent < settings_.silence) continue;
    give_up(peer, "has not been heard of for " + std::to_string(std::lround(silent)) + " s", 1);
    return;
  }
}

void Watch::look_at_lag() {
  const auto slowest = std::ranges::min_element(seen_, {}, &Seen::calls);
  const auto fastest = std::ranges::max_element(seen_, {}, &Seen::calls);
  const double waited = std::chrono::duration<double>(Clock::now() - slowest->moved).count();
  if (slowest->calls == fastest->calls || waited < settings_.lag || std::exchange(slowest->named, true)) return;
  deliver(name_of(static_cast<int>(slowest - seen_.begin())) + " lags: others have waited for it for " +
          std::to_string(std::lround(waited)) + " s");
}

void Watch::give_up(int culprit, const std::string& reason, int exit_code) {
  if (rank_ == 0) end_all(culprit, reason, exit_code);
  if (culprit != 0) {
    enqueue(0, Kind::failure, pack(culprit, exit_code, reason));
    return;
  }
  if (ending_.exchange(true)) return;
  // It may have ended with an order to end, which then lies here.
  std::this_thread::sleep_for(look_every);
  receive();
  // Nobody is left to tell. The lowest rank that lives says it; the others' silence is not missed.
  if (rank_ == 1) std::cerr << program_ + ": " + name_of(0) + ": " + reason + "\n";
  ::_exit(exit_code);
}

void Watch::end_all(int culprit, const std::string& reason, int exit_code) {
  // The first to come ends the process; others wait for that.
  if (ending_.exchange(true)) {
    for (;;) std::this_thread::sleep_for(1s);
  }
  std::string line = name_of(culprit) + ": " + reason;
  std::ranges::replace(line, '\n', ' ');
  std::cerr << program_ + ": " + line + "\n";
  Ranks::Listener listener;
  {
    const std::lock_guard lock(mutex_);
    listener = listener_;
  }
  if (listener.failed) listener.failed(line);
  const std::vector<char> order = pack(culprit, exit_code, "");
  std::vector<MPI_Request> requests;
  for (int to = 1; to < size_; ++to) {
    MPI_Isend(order.data(), static_cast<int>(order.size()), MPI_CHAR, to, static_cast<int>(Kind::end), comm_,
              &requests.emplace_back());
  }
  // A rank that is gone takes nothing: no waiting for all of them.
  const auto until = Clock::now() + 1s;
  for (int done = 0; done == 0 && Clock::now() < until; std::this_thread::sleep_for(10ms)) {
    MPI_Testall(static_cast<int>(requests.size()), requests.data(), &done, MPI_STATUSES_IGNORE);
  }
  std::this_thread::sleep_for(2 * look_every);  // they see the order before they see this process gone
  ::_exit(exit_code);
}

std::string Watch::name_of(int rank) const {
  return "rank " + std::to_string(rank) + " (" + peers_[static_cast<std::size_t>(rank)].host + ")";
}

}  // namespace flowdarts
