#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <flowdarts/pipeline/run_directory/signals.hpp>
#include <stdexcept>
#include <string_view>

namespace flowdarts {
namespace {

constexpr int unused = -1;

// A handler has no argument to keep state in. Lock-free atomics are as safe in a handler as volatile sig_atomic_t and,
// unlike it, may be read by other threads.
std::atomic<int> stop_signal{unused};
static_assert(std::atomic<int>::is_always_lock_free);

void write_to_stderr(std::string_view text) {
  // Nothing to do about a failure here; the if keeps the compiler from asking.
  if (::write(STDERR_FILENO, text.data(), text.size()) < 0) return;
}

enum class Says { nothing, a_line, a_line_on_a_terminal };

template <Says says>
void handle(int signal) {
  const int saved_errno = errno;
  int expected = 0;
  if (!stop_signal.compare_exchange_strong(expected, signal)) ::_exit(128 + signal);
  // On a terminal the live progress line stands where this goes.
  if (says == Says::a_line_on_a_terminal) write_to_stderr("\r\x1b[K");
  if (says != Says::nothing) {
    write_to_stderr(signal == SIGINT ? "SIGINT: stopping after this step; a second signal stops at once\n"
                                     : "SIGTERM: stopping after this step; a second signal stops at once\n");
  }
  errno = saved_errno;
}

}  // namespace

StopSignals::StopSignals(bool silent) {
  int expected = unused;
  if (!stop_signal.compare_exchange_strong(expected, 0)) throw std::logic_error("StopSignals: there is one already");
  struct sigaction action {};
  action.sa_handler = &handle<Says::a_line>;
  if (::isatty(STDERR_FILENO) == 1) action.sa_handler = &handle<Says::a_line_on_a_terminal>;
  if (silent) action.sa_handler = &handle<Says::nothing>;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  ::sigaction(SIGINT, &action, &previous_int_);
  ::sigaction(SIGTERM, &action, &previous_term_);
}

StopSignals::~StopSignals() {
  ::sigaction(SIGINT, &previous_int_, nullptr);
  ::sigaction(SIGTERM, &previous_term_, nullptr);
  stop_signal = unused;
}

int StopSignals::requested() const {
  return stop_signal;
}

}  // namespace flowdarts
