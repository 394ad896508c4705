#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/base_sink.h>
#include <sys/ioctl.h>

#include <cerrno>
#include <cstdlib>
#include <flowdarts/pipeline/run_directory/log.hpp>
#include <mutex>
#include <utility>

namespace flowdarts {
namespace {

constexpr std::string_view clear_line = "\r\x1b[K";

class TerminalSink final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  explicit TerminalSink(std::shared_ptr<Terminal> terminal)
      : base_sink(std::make_unique<spdlog::pattern_formatter>("%H:%M:%S %-5l %v")), terminal_(std::move(terminal)) {}

 private:
  void sink_it_(const spdlog::details::log_msg& message) override {
    spdlog::memory_buf_t text;
    formatter_->format(message, text);
    terminal_->print({text.data(), text.size()});
  }
  void flush_() override {}

  std::shared_ptr<Terminal> terminal_;
};

class FileSink final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  FileSink(const std::filesystem::path& path, FileCalls calls)
      : base_sink(std::make_unique<spdlog::pattern_formatter>("%Y-%m-%dT%H:%M:%S.%e%z %-5l %v")),
        file_(path, std::move(calls)) {
    // A run that was killed may have left half a line.
    if (file_.size() > 0 && !read_text_file(path).ends_with('\n')) file_.append("\n");
  }

 private:
  void sink_it_(const spdlog::details::log_msg& message) override {
    spdlog::memory_buf_t text;
    formatter_->format(message, text);
    file_.append(std::string_view(text.data(), text.size()));
  }
  void flush_() override { file_.sync(); }

  AppendFile file_;
};

}  // namespace

Terminal::Terminal(int fd) : fd_(fd), live_(::isatty(fd) == 1) {
  const char* kind = std::getenv("TERM");
  if (kind && std::string_view(kind) == "dumb") live_ = false;
}

Terminal::~Terminal() {
  set_status("");
}

int Terminal::columns() const {
  winsize size{};
  return ::ioctl(fd_, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

void Terminal::print(std::string_view text) {
  const std::lock_guard lock(mutex_);
  // One write, so that nothing else comes between the parts.
  if (status_.empty())
    write(text);
  else
    write(std::string(clear_line) + std::string(text) + status_);
}

void Terminal::set_status(std::string_view line) {
  const std::lock_guard lock(mutex_);
  if (!live_ || (line.empty() && status_.empty())) return;
  status_ = line;
  write(std::string(clear_line) + status_);
}

void Terminal::write(std::string_view text) const {
  while (!text.empty()) {
    const ssize_t written = ::write(fd_, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return;
    text.remove_prefix(static_cast<std::size_t>(written));
  }
}

std::shared_ptr<spdlog::logger> make_logger(std::shared_ptr<Terminal> terminal, spdlog::level::level_enum level) {
  auto logger = std::make_shared<spdlog::logger>("flowdarts", std::make_shared<TerminalSink>(terminal));
  logger->set_level(level);
  logger->set_error_handler(
      [terminal](const std::string& reason) { terminal->print("a log message was lost: " + reason + "\n"); });
  return logger;
}

void add_log_file(spdlog::logger& logger, const std::filesystem::path& path, FileCalls calls) {
  logger.sinks().push_back(std::make_shared<FileSink>(path, std::move(calls)));
}

}  // namespace flowdarts
