#pragma once
// What a run directory says, as values.

#include <array>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace flowdarts::report {

/// As alpha of metrics.jsonl: one array a matrix, row by row. NaN where the file has null.
using Matrices = std::vector<std::vector<double>>;

/// What a row says of a part of the data.
struct Split {
  std::optional<double> samples;
  std::optional<double> loss;      ///< nats; none where no image of the split was seen
  std::optional<double> accuracy;  ///< 0 to 1; likewise
  std::optional<double> top5;      ///< part of the predictions whose five best had the right one
  std::optional<double> balance;   ///< class-balance degree, 0 to 1
};

struct Importance {
  std::string measure;
  std::int64_t epoch = 0;  ///< after which it was measured
  bool low_is_important = false;
  Matrices values;
};

struct Collapse {
  bool collapsed = false;
  std::string reason;
};

/// A row of metrics.jsonl. What it does not have is empty.
struct Epoch {
  std::int64_t number = 0;              ///< from 1
  std::map<std::string, Split> splits;  ///< "train", "val", "test"
  std::optional<std::string> genotype;
  std::map<std::string, double> true_accuracy;  ///< percent, by data set
  std::optional<Collapse> collapse;
  Matrices alpha, op_weights, ops_left;
  std::optional<Importance> importance;
  std::optional<double> hessian_largest, hessian_dominant;
  std::map<std::string, double> seconds;  ///< by stage

  /// Of a split; empty where the row has no such split.
  [[nodiscard]] Split split(const std::string& name) const;
};

/// A section of config.toml: keys and values as they are written there, in order.
struct ConfigSection {
  std::string name;
  std::vector<std::pair<std::string, std::string>> options;
};

/// What a training's result.json says.
struct TrainingResult {
  std::optional<std::string> genotype;
  std::optional<double> params, macs;
};

/// Of a search, or of the training of a stand-alone network.
struct Run {
  std::string name;  ///< short: its folder
  std::string path;  ///< as it was given
  std::vector<ConfigSection> config;
  std::vector<Epoch> epochs;  ///< at least one, ascending
  TrainingResult result;      ///< empty for a search, and for a training that goes on

  /// An option's text, without quotes; empty where there is none.
  [[nodiscard]] std::string option(std::string_view section, std::string_view key) const;
  [[nodiscard]] bool is_training() const { return option("search", "method").empty(); }
  [[nodiscard]] std::string method() const { return is_training() ? "training" : option("search", "method"); }
  [[nodiscard]] std::string space() const { return option(is_training() ? "network" : "search", "space"); }
  /// The newest epoch that has an architecture; none where none has.
  [[nodiscard]] const Epoch* derived() const;
  /// The text of the architecture found last, or trained; empty where it is not known.
  [[nodiscard]] std::string architecture() const;
};

/// Reads config.toml, metrics.jsonl and, where there is one, result.json of a run, also of one that goes on: a last
/// line without its end is left out. Throws InputError with the file, what was found and what was expected, for what is
/// no such run, for a run without a finished epoch and for values of another kind than docs/run-directory.md says.
Run read_run(const std::filesystem::path& folder);

/// Reads several. Names are the folders' own names, or, where two would be equal, the paths as given. Throws InputError
/// also where a folder is given twice.
std::vector<Run> read_runs(const std::vector<std::string>& folders);

}  // namespace flowdarts::report
