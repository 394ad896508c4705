// prune_scores: one event of bi-level data pruning for a training loop that is not flowdarts'. Reads the errors each
// sample had in the epochs of one window, prints the ids of the samples to go on with.

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <cstdint>
#include <exception>
#include <flowdarts/spaces/support/error.hpp>
#include <flowdarts/stages/accumulate/error_history.hpp>
#include <flowdarts/stages/prune/prune.hpp>
#include <fstream>
#include <iostream>
#include <numbers>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace {

using flowdarts::Criterion;
using flowdarts::InputError;
using flowdarts::RunError;
using flowdarts::SortBackend;

struct Sample {
  std::int64_t id = 0;
  std::int32_t label = 0;
  std::vector<std::optional<float>> errors;  // one an epoch, empty where it was not observed
  std::size_t line = 0;
};

struct Window {
  std::vector<Sample> samples;  // ascending by id
  std::size_t epochs = 0;
};

/// One line of the file being read, for messages: every complaint names file, line, what was found and what was
/// expected.
struct Line {
  std::string_view file;
  std::size_t number = 0;

  [[noreturn]] void refuse(std::string_view what, std::string_view found, std::string_view expected) const {
    throw InputError(std::string(file) + ":" + std::to_string(number) + ": " + std::string(what) + ": found " +
                     std::string(found) + ", expected " + std::string(expected));
  }
};

/// What was found, fit for one line of a terminal.
std::string shown(std::string_view text) {
  constexpr std::size_t longest = 60;
  std::string result(text.substr(0, longest));
  std::ranges::replace_if(
      result, [](unsigned char c) { return c < 0x20 || c == 0x7F; }, '?');
  return "'" + result + (text.size() > longest ? "...'" : "'");
}

std::vector<std::string_view> split(std::string_view line) {
  std::vector<std::string_view> fields;
  for (std::size_t begin = 0;;) {
    const std::size_t comma = line.find(',', begin);
    fields.push_back(line.substr(begin, comma - begin));
    if (comma == std::string_view::npos) return fields;
    begin = comma + 1;
  }
}

/// sqrt 2 printed with six decimals is 1.414214.
constexpr double rounding = 1e-6;

/// The whole field as a number, nothing if it is not exactly one.
template <class Number>
std::optional<Number> parse(std::string_view field) {
  Number value{};
  const auto [end, failure] = std::from_chars(field.data(), field.data() + field.size(), value);
  if (failure != std::errc{} || end != field.data() + field.size()) return std::nullopt;
  return value;
}

Sample parse_sample(const std::vector<std::string_view>& fields, std::int64_t classes, const Line& line) {
  Sample sample;
  sample.line = line.number;
  const auto id = parse<std::int64_t>(fields[0]);
  if (!id) line.refuse("id", shown(fields[0]), "an integer");
  sample.id = *id;

  const auto label = parse<std::int64_t>(fields[1]);
  if (!label || *label < 0 || *label >= classes) {
    line.refuse("label", shown(fields[1]), "an integer from 0 to " + std::to_string(classes - 1));
  }
  sample.label = static_cast<std::int32_t>(*label);

  sample.errors.resize(fields.size() - 2);
  for (std::size_t epoch = 0; epoch < sample.errors.size(); ++epoch) {
    const std::string_view field = fields[epoch + 2];
    if (field.empty()) continue;
    // As a double: from_chars refuses what is too small for a float, which here is 0.
    const auto error = parse<double>(field);
    if (!error || !(*error >= 0 && *error <= std::numbers::sqrt2 + rounding)) {
      line.refuse("error e_" + std::to_string(epoch + 1), shown(field), "a number in [0, sqrt 2] or an empty field");
    }
    sample.errors[epoch] = static_cast<float>(*error);
  }
  return sample;
}

/// Rows `id,label,e_1,...,e_w` in any order, after an optional header that starts with `id,`.
Window read_window(std::istream& input, std::string_view file, std::int64_t classes) {
  Window window;
  std::size_t columns = 0;
  std::string text;
  Line line{.file = file};
  while (std::getline(input, text)) {
    ++line.number;
    if (text.ends_with('\r')) text.pop_back();
    const auto fields = split(text);
    if (line.number == 1) {
      if (fields.size() < 3) line.refuse("row", shown(text), "id,label,e_1,...,e_w with at least one error field");
      columns = fields.size();
      if (text.starts_with("id,")) continue;
    }
    if (fields.size() != columns) {
      line.refuse("row", std::to_string(fields.size()) + " fields", std::to_string(columns) + " as in the first line");
    }
    window.samples.push_back(parse_sample(fields, classes, line));
  }
  if (input.bad()) throw InputError(std::string(file) + ": cannot be read, expected a CSV file");
  if (window.samples.empty()) throw InputError(std::string(file) + ": found no rows, expected id,label,e_1,...,e_w");
  window.epochs = columns - 2;

  std::ranges::stable_sort(window.samples, {}, &Sample::id);
  const auto twin = std::ranges::adjacent_find(window.samples, {}, &Sample::id);
  if (twin != window.samples.end()) {
    Line{file, twin[1].line}.refuse(
        "id", std::to_string(twin->id) + " again, first in line " + std::to_string(twin->line), "every id once");
  }
  return window;
}

flowdarts::VarianceOfError variance_of_error(const Window& window) {
  std::vector<std::int64_t> ids(window.samples.size());
  std::ranges::transform(window.samples, ids.begin(), &Sample::id);
  flowdarts::ErrorHistory history(std::move(ids));
  for (std::size_t epoch = 0; epoch < window.epochs; ++epoch) {
    std::vector<std::int64_t> observed;
    std::vector<float> errors;
    for (const Sample& sample : window.samples) {
      if (!sample.errors[epoch]) continue;
      observed.push_back(sample.id);
      errors.push_back(*sample.errors[epoch]);
    }
    history.observe(observed, errors);
    history.end_epoch();
  }
  return history.voe();
}

void report(const flowdarts::PruneEvent& event, std::ostream& out) {
  out << "removed " << event.removed.size() << " of " << event.removed.size() + event.kept.size()
      << " samples (at most " << event.target << "), class balance b = " << event.balance << ", N = " << event.divisor
      << '\n';
  for (std::size_t c = 0; c < event.class_counts.size(); ++c) {
    out << "class " << c << ": removed " << event.class_removed[c] << " of " << event.class_counts[c] << " (at most "
        << event.class_caps[c] << ")\n";
  }
}

void run(const std::string& file, std::int64_t classes, const flowdarts::PruneRule& rule, flowdarts::Sorter sorter) {
  std::ifstream stream;
  if (file != "-") {
    stream.open(file);
    if (!stream) throw InputError(file + ": cannot be opened, expected a CSV file");
  }
  const Window window = read_window(file == "-" ? std::cin : stream, file == "-" ? "stdin" : file, classes);
  std::vector<std::int32_t> labels(window.samples.size());
  std::ranges::transform(window.samples, labels.begin(), &Sample::label);
  const auto voe = variance_of_error(window);
  const auto event = flowdarts::prune(labels, voe.variance, voe.eligible, classes, rule, sorter);
  for (const std::uint32_t position : event.kept) std::cout << window.samples[position].id << '\n';
  std::cout.flush();
  if (!std::cout) throw RunError("standard output: cannot be written");
  report(event, std::cerr);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{
      "One event of bi-level data pruning (BDP). Reads the errors e = ||softmax - onehot||_2 of one window of epochs, "
      "prints\n"
      "the ids of the samples to keep, one a line, ascending; on stderr what was removed of each class."};
  flowdarts::PruneRule rule;
  std::int64_t classes = 0;
  std::string file;
  std::string remove;
  std::string sort = "thrust";
  bool no_balance = false;
  bool no_refill = false;
  app.add_option("--remove", remove, "low or high: remove the samples whose errors vary least (for T) or most (for V)")
      ->required()
      ->check(CLI::IsMember({"low", "high"}));
  app.add_option("--ratio", rule.ratio, "part of the samples to remove, in [0, 1)")
      ->required()
      ->check(CLI::Range(0.0, 1.0));
  app.add_option("--events", rule.events, "nominal number of pruning events of the whole search")
      ->required()
      ->check(CLI::Range(1, 1'000'000));
  app.add_option("--classes", classes, "number of classes of the data set")
      ->required()
      ->check(CLI::Range(1, 1'000'000));
  app.add_flag("--no-balance", no_balance, "no class caps");
  app.add_flag("--no-refill", no_refill, "leave samples of full classes unpruned instead of taking the next ones");
  app.add_option("--sort", sort, "serial or thrust: how to sort, same result")
      ->capture_default_str()
      ->check(CLI::IsMember({"serial", "thrust"}));
  app.add_option("FILE", file, "CSV: id,label,e_1,...,e_w; empty field: not observed; - for stdin")->required();
  try {
    app.parse(argc, argv);
    rule.criterion = remove == "low" ? Criterion::low : Criterion::high;
    const flowdarts::Sorter sorter{.backend = sort == "serial" ? SortBackend::serial : SortBackend::thrust};
    rule.balance = !no_balance;
    rule.refill = !no_refill;
    run(file, classes, rule, sorter);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help
    std::cerr << "prune_scores: " << error.what() << " (--help lists the options)\n";
    return 2;
  } catch (const InputError& error) {
    std::cerr << "prune_scores: " << error.what() << '\n';
    return 2;
  } catch (const std::exception& error) {
    std::cerr << "prune_scores: " << error.what() << '\n';
    return 1;
  }
  return 0;
}
