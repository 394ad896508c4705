#include "run.hpp"

#include <spdlog/fmt/fmt.h>

#include <toml++/toml.h>
#include <algorithm>
#include <flowdarts/pipeline/run_directory/atomic_file.hpp>
#include <flowdarts/pipeline/run_directory/metrics.hpp>
#include <flowdarts/spaces/support/error.hpp>
#include <flowdarts/spaces/support/quote.hpp>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <system_error>

namespace flowdarts::report {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

/// Reads an object. A member that is missing or null is none; one of another kind is refused.
class Reader {
 public:
  /// `where` begins what is said of members that are refused.
  Reader(const Json& object, std::string where) : object_(object), where_(std::move(where)) {}

  [[nodiscard]] Epoch epoch() const {
    Epoch epoch{.number = object_["epoch"].get<std::int64_t>()};
    for (const char* name : {"train", "val", "test"}) {
      if (const Json* split = object(object_, name)) epoch.splits[name] = read_split(*split);
    }
    epoch.genotype = text(object_, "genotype");
    epoch.true_accuracy = numbers(object_, "true_accuracy");
    epoch.seconds = numbers(object_, "seconds");
    if (const Json* collapse = object(object_, "collapse")) {
      epoch.collapse = {flag(*collapse, "collapsed"), text(*collapse, "reason").value_or("")};
    }
    epoch.alpha = matrices(object_, "alpha");
    epoch.op_weights = matrices(object_, "op_weights");
    epoch.ops_left = matrices(object_, "ops_left");
    if (const Json* importance = object(object_, "importance")) {
      epoch.importance = {
          .measure = text(*importance, "measure").value_or("importance"),
          .epoch = static_cast<std::int64_t>(number(*importance, "epoch").value_or(static_cast<double>(epoch.number))),
          .low_is_important = flag(*importance, "low_is_important"),
          .values = matrices(*importance, "values")};
    }
    if (const Json* hessian = object(object_, "hessian")) {
      epoch.hessian_largest = number(*hessian, "largest");
      epoch.hessian_dominant = number(*hessian, "dominant");
    }
    return epoch;
  }

  [[nodiscard]] TrainingResult training_result() const {
    return {
        .genotype = text(object_, "genotype"), .params = number(object_, "params"), .macs = number(object_, "macs")};
  }

 private:
  [[noreturn]] void refuse(const std::string& name, const Json& found, const std::string& expected) const {
    throw InputError(where_ + quote(name) + ": found " + quote(found.dump(), 40) + ", expected " + expected);
  }

  /// The member, unless it is missing or null.
  static const Json* member(const Json& object, const std::string& name) {
    const auto found = object.find(name);
    return found == object.end() || found->is_null() ? nullptr : &*found;
  }

  [[nodiscard]] const Json* object(const Json& parent, const std::string& name) const {
    const Json* found = member(parent, name);
    if (found != nullptr && !found->is_object()) refuse(name, *found, "an object or null");
    return found;
  }

  [[nodiscard]] std::optional<double> number(const Json& parent, const std::string& name) const {
    const Json* found = member(parent, name);
    if (found == nullptr) return std::nullopt;
    if (!found->is_number()) refuse(name, *found, "a number or null");
    return found->get<double>();
  }

  [[nodiscard]] std::optional<std::string> text(const Json& parent, const std::string& name) const {
    const Json* found = member(parent, name);
    if (found == nullptr) return std::nullopt;
    if (!found->is_string()) refuse(name, *found, "a text or null");
    return found->get<std::string>();
  }

  [[nodiscard]] bool flag(const Json& parent, const std::string& name) const {
    const Json* found = member(parent, name);
    if (found == nullptr) return false;
    if (!found->is_boolean()) refuse(name, *found, "true or false");
    return found->get<bool>();
  }

  /// The numbers of an object, by name; null ones are left out.
  [[nodiscard]] std::map<std::string, double> numbers(const Json& parent, const std::string& name) const {
    std::map<std::string, double> all;
    if (const Json* found = object(parent, name)) {
      for (const auto& item : found->items()) {
        if (const auto value = number(*found, item.key())) all[item.key()] = *value;
      }
    }
    return all;
  }

  [[nodiscard]] Matrices matrices(const Json& parent, const std::string& name) const {
    const Json* found = member(parent, name);
    if (found == nullptr) return {};
    const auto refuse_all = [&] { refuse(name, *found, "arrays of numbers"); };
    if (!found->is_array()) refuse_all();
    Matrices all;
    for (const Json& matrix : *found) {
      if (!matrix.is_array()) refuse_all();
      auto& values = all.emplace_back();
      for (const Json& value : matrix) {
        if (!value.is_number() && !value.is_null()) refuse_all();
        values.push_back(value.is_null() ? std::numeric_limits<double>::quiet_NaN() : value.get<double>());
      }
    }
    return all;
  }

  [[nodiscard]] Split read_split(const Json& object) const {
    Split split{.samples = number(object, "samples"),
                .loss = number(object, "loss"),
                .accuracy = number(object, "accuracy"),
                .top5 = number(object, "top5"),
                .balance = number(object, "balance")};
    // What a search writes for a split of which no update saw an image. (Without loss every prediction is right.)
    if (split.loss == 0.0 && split.accuracy == 0.0) split.loss = split.accuracy = std::nullopt;
    return split;
  }

  const Json& object_;
  std::string where_;
};

std::vector<Epoch> read_epochs(const fs::path& file) {
  std::vector<Epoch> epochs;
  for (const Json& row : read_metrics(file)) {
    Epoch epoch =
        Reader(row, file.string() + ": epoch " + std::to_string(row["epoch"].get<std::int64_t>()) + ": ").epoch();
    if (!epochs.empty() && epoch.number <= epochs.back().number) {
      throw InputError(file.string() + ": found epoch " + std::to_string(epoch.number) + " after epoch " +
                       std::to_string(epochs.back().number) + ", expected a later one");
    }
    epochs.push_back(std::move(epoch));
  }
  if (epochs.empty()) throw InputError(file.string() + ": found no finished epoch, expected one at least");
  return epochs;
}

TrainingResult read_result(const fs::path& file) {
  std::error_code error;
  if (!fs::exists(file, error)) return {};
  const Json result = Json::parse(read_text_file(file), nullptr, /*allow_exceptions=*/false);
  if (!result.is_object()) throw InputError(file.string() + ": found something else, expected a JSON object");
  return Reader(result, file.string() + ": ").training_result();
}

std::string value_text(const toml::node& node) {
  if (const auto* text = node.as_string()) return text->get();
  if (const auto* number = node.as_floating_point()) return fmt::format("{}", number->get());
  std::ostringstream out;
  node.visit([&](const auto& value) { out << value; });
  return out.str();
}

std::vector<ConfigSection> read_config(const fs::path& file) {
  toml::table table;
  try {
    table = toml::parse(read_text_file(file), file.string());
  } catch (const toml::parse_error& error) {
    throw InputError(file.string() + ":" + std::to_string(error.source().begin.line) + ": " +
                     std::string(error.description()));
  }
  std::vector<ConfigSection> sections;
  for (const auto& [name, node] : table) {
    const toml::table* section = node.as_table();
    if (section == nullptr) continue;
    auto& options = sections.emplace_back(ConfigSection{std::string(name.str()), {}}).options;
    std::vector<std::pair<toml::source_position, std::pair<std::string, std::string>>> lines;
    for (const auto& [key, value] : *section) {
      lines.emplace_back(value.source().begin, std::pair{std::string(key.str()), value_text(value)});
    }
    std::ranges::sort(lines, {}, [](const auto& line) { return line.first.line; });
    for (auto& line : lines) options.push_back(std::move(line.second));
  }
  const auto line_of = [&](const ConfigSection& section) { return table[section.name].node()->source().begin.line; };
  std::ranges::sort(sections, {}, line_of);
  return sections;
}

/// One path for all that name the folder ("runs/a", "runs/a/", "runs/b/../a").
fs::path one_path(const fs::path& folder) {
  std::error_code error;
  const fs::path whole = fs::weakly_canonical(folder, error);
  if (error) return folder;
  return whole.has_filename() ? whole : whole.parent_path();
}

}  // namespace

Split Epoch::split(const std::string& name) const {
  const auto found = splits.find(name);
  return found == splits.end() ? Split{} : found->second;
}

std::string Run::option(std::string_view section, std::string_view key) const {
  for (const ConfigSection& one : config) {
    if (one.name != section) continue;
    for (const auto& [option_key, value] : one.options) {
      if (option_key == key) return value;
    }
  }
  return "";
}

const Epoch* Run::derived() const {
  const auto found =
      std::find_if(epochs.rbegin(), epochs.rend(), [](const Epoch& one) { return one.genotype.has_value(); });
  return found == epochs.rend() ? nullptr : &*found;
}

std::string Run::architecture() const {
  if (const Epoch* epoch = derived()) return *epoch->genotype;
  return result.genotype.value_or("");
}

Run read_run(const fs::path& folder) {
  std::error_code error;
  for (const char* name : {"metrics.jsonl", "config.toml"}) {
    if (!fs::exists(folder / name, error)) {
      throw InputError(folder.string() + ": found no " + name + ", expected a run directory");
    }
  }
  Run run{.name = one_path(folder).filename().string(),
          .path = folder.string(),
          .config = read_config(folder / "config.toml"),
          .epochs = read_epochs(folder / "metrics.jsonl"),
          .result = read_result(folder / "result.json")};
  if (run.space().empty()) {
    throw InputError((folder / "config.toml").string() + ": found no space in [search] or [network], expected one");
  }
  return run;
}

std::vector<Run> read_runs(const std::vector<std::string>& folders) {
  std::vector<Run> runs;
  std::set<fs::path> seen;
  for (const std::string& folder : folders) {
    if (!seen.insert(one_path(folder)).second) throw InputError(folder + ": is given twice");
    runs.push_back(read_run(folder));
  }
  std::map<std::string, int> counts;
  for (const Run& run : runs) ++counts[run.name];
  for (Run& run : runs) {
    if (counts[run.name] > 1) run.name = run.path;
  }
  return runs;
}

}  // namespace flowdarts::report
