#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <flowdarts/pipeline/run_directory/progress.hpp>
#include <numeric>
#include <vector>

namespace flowdarts {
namespace {

struct Field {
  std::string text;
  int need;  // the field with the lowest goes first when the line is too long
};

std::string join(const std::vector<Field>& fields) {
  std::string line;
  for (const Field& field : fields) line += (line.empty() ? "" : "  ") + field.text;
  return line;
}

std::string format_rate(double per_second) {
  if (!(per_second >= 0) || per_second > 1e15) return "?";
  return per_second < 10 ? fmt::format("{:.1f}", per_second) : format_count(std::llround(per_second));
}

std::string samples_left(const SearchProgress& p) {
  if (p.train_left == 0 && p.val_left == 0) return {};
  return fmt::format("T {}  V {}", format_count(p.train_left), format_count(p.val_left));
}

std::string test_accuracy(const SearchProgress& p) {
  return fmt::format("test {:.2f}%", 100 * *p.test_accuracy);
}

}  // namespace

std::string format_progress(const SearchProgress& p, int width) {
  std::vector<Field> fields{
      {fmt::format("epoch {}/{}", p.epoch, p.epochs), 7},
      {fmt::format("step {}/{}", p.step, p.steps), 6},
      {fmt::format("loss {:.4g}", p.loss), 5},
      {fmt::format("acc {:.1f}%", 100 * p.accuracy), 3},
      {format_rate(p.images_per_second) + " img/s", 2},
  };
  if (const std::string left = samples_left(p); !left.empty()) fields.push_back({left, 1});
  if (p.test_accuracy) fields.push_back({test_accuracy(p), 2});
  if (p.seconds_left) fields.push_back({"ETA " + format_duration(*p.seconds_left), 4});
  const auto columns = static_cast<std::size_t>(std::max(width, 0));
  std::string line = join(fields);
  while (line.size() > columns && fields.size() > 1) {
    fields.erase(std::ranges::min_element(fields, {}, &Field::need));
    line = join(fields);
  }
  return line.substr(0, columns);
}

std::string format_epoch(const SearchProgress& p, double seconds) {
  std::string line = fmt::format("epoch {}/{}  loss {:.4g}  acc {:.1f}%", p.epoch, p.epochs, p.loss, 100 * p.accuracy);
  if (p.test_accuracy) line += "  " + test_accuracy(p);
  line += "  " + format_rate(p.images_per_second) + " img/s";
  if (const std::string left = samples_left(p); !left.empty()) line += "  " + left;
  line += "  " + format_duration(seconds);
  if (p.seconds_left) line += "  ETA " + format_duration(*p.seconds_left);
  return line;
}

std::string format_duration(double seconds) {
  if (!std::isfinite(seconds) || seconds < 0 || seconds > 1e15) return "?";
  if (seconds < 9.95) return fmt::format("{:.1f}s", seconds);
  const std::int64_t s = std::llround(seconds);
  const std::int64_t m = s / 60;
  const std::int64_t h = m / 60;
  if (m == 0) return fmt::format("{}s", s);
  if (h == 0) return fmt::format("{}m{:02}s", m, s % 60);
  if (h < 24) return fmt::format("{}h{:02}m", h, m % 60);
  return fmt::format("{}d{:02}h", h / 24, h % 24);
}

std::string format_count(std::int64_t count) {
  const std::string digits = std::to_string(count);
  std::string text;
  for (std::size_t i = 0; i < digits.size(); ++i) {
    if ((digits.size() - i) % 3 == 0 && i > 0 && digits[i - 1] != '-') text += ',';
    text += digits[i];
  }
  return text;
}

void Throughput::add(std::int64_t count, Clock::time_point now) {
  constexpr double memory_seconds = 10;
  const double elapsed = std::chrono::duration<double>(now - last_).count();
  const double kept = std::exp(-elapsed / memory_seconds);
  count_ = count_ * kept + static_cast<double>(count);
  seconds_ = seconds_ * kept + elapsed;
  last_ = now;
}

double Throughput::per_second() const {
  return seconds_ > 0 ? count_ / seconds_ : 0;
}

void ProgressLine::update(const SearchProgress& progress, Clock::time_point now) {
  constexpr auto redraw_interval = std::chrono::milliseconds(100);
  if (!terminal_->live() || (drawn_ && now - *drawn_ < redraw_interval)) return;
  drawn_ = now;
  // A full last column would wrap the cursor onto the next line.
  terminal_->set_status(format_progress(progress, terminal_->columns() - 1));
}

void ProgressLine::epoch_done(const SearchProgress& progress, double seconds) {
  if (!terminal_->live()) terminal_->print(format_epoch(progress, seconds) + "\n");
}

}  // namespace flowdarts
