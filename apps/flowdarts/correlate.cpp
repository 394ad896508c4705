#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <flowdarts/pipeline/run_directory/metrics.hpp>
#include <flowdarts/spaces/nas_bench_201/benchmark_table.hpp>
#include <flowdarts/spaces/nas_bench_201/genotype.hpp>
#include <flowdarts/spaces/stand_alone/architecture.hpp>
#include <flowdarts/spaces/support/error.hpp>
#include <flowdarts/spaces/support/quote.hpp>
#include <flowdarts/spaces/support/rank_correlation.hpp>
#include <iomanip>
#include <iostream>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <sstream>
#include <utility>
#include <vector>

#include "commands.hpp"

namespace flowdarts::app {

namespace nb201 = nas_bench_201;

namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t edge_count = nb201::edges.size();
constexpr std::size_t op_count = nb201::op_names.size();
constexpr double infinity = std::numeric_limits<double>::infinity();

/// A number for each op of each edge, in the order of alpha; larger is better.
using Ratings = std::array<double, edge_count * op_count>;

std::span<const double> of_edge(const Ratings& ratings, std::size_t edge) {
  return std::span(ratings).subspan(edge * op_count, op_count);
}

// ---- What the run says ----

struct Measure {
  std::string name;
  std::int64_t epoch = 0;  // after which it was taken
  Ratings ratings{};
};

/// A row of metrics.jsonl that has an architecture.
struct Epoch {
  std::int64_t number = 0;
  nb201::Genotype genotype;
  std::vector<Measure> measures;
};

/// Reads one row. Throws InputError, naming the file and the epoch.
class RowReader {
 public:
  RowReader(const Json& row, const std::string& file)
      : row_(row), where_(file + ": epoch " + std::to_string(number_of(row)) + ": ") {}

  static std::int64_t number_of(const Json& row) { return row["epoch"].get<std::int64_t>(); }
  [[nodiscard]] bool has_genotype() const { return member(row_, "genotype").is_string(); }

  [[nodiscard]] Epoch read() const {
    Epoch epoch{.number = number_of(row_), .genotype = genotype(), .measures = {}};
    const Json& alpha = member(row_, "alpha");
    if (!alpha.empty()) {
      epoch.measures.push_back({"alpha", epoch.number, first_matrix(alpha, "alpha")});
      Ratings sizes = first_matrix(member(row_, "op_weights"), "op_weights");
      for (double& size : sizes) size = std::abs(size);
      epoch.measures.push_back({"op_weights", epoch.number, sizes});
    }
    if (const Json& importance = member(row_, "importance"); !importance.is_null()) {
      epoch.measures.push_back(read_importance(importance));
    }
    if (const Json& left = member(row_, "ops_left"); !left.is_null()) {
      const Ratings is_left = first_matrix(left, "ops_left");
      for (Measure& measure : epoch.measures) {
        for (std::size_t i = 0; i < is_left.size(); ++i) {
          if (is_left[i] == 0) measure.ratings[i] = -infinity;
        }
      }
    }
    return epoch;
  }

 private:
  [[noreturn]] void refuse(const std::string& what) const { throw InputError(where_ + what); }

  [[nodiscard]] const Json& member(const Json& object, const std::string& name) const {
    if (!object.is_object() || !object.contains(name)) refuse("found no " + quote(name));
    return object[name];
  }

  [[nodiscard]] nb201::Genotype genotype() const {
    try {
      return nb201::parse_genotype(member(row_, "genotype").get<std::string>());
    } catch (const InputError& reason) {
      refuse(reason.what());
    }
  }

  /// The ops' matrix; edge weights may follow it. null is taken for `null_value`, where there is one.
  [[nodiscard]] Ratings first_matrix(const Json& matrices, const std::string& name,
                                     std::optional<double> null_value = {}) const {
    Ratings ratings{};
    if (!matrices.is_array() || matrices.empty() || !matrices[0].is_array() || matrices[0].size() != ratings.size()) {
      refuse(quote(name) + ": expected a matrix of " + std::to_string(ratings.size()) + " numbers");
    }
    for (std::size_t i = 0; i < ratings.size(); ++i) {
      const Json& value = matrices[0][i];
      if (!value.is_number() && !(value.is_null() && null_value)) {
        refuse(quote(name) + ": number " + std::to_string(i + 1) + ": found " + value.dump() + ", expected a number");
      }
      ratings[i] = value.is_null() ? *null_value : value.get<double>();
    }
    return ratings;
  }

  [[nodiscard]] Measure read_importance(const Json& importance) const {
    const Json& name = member(importance, "measure");
    const Json& epoch = member(importance, "epoch");
    const Json& low_is_important = member(importance, "low_is_important");
    if (!name.is_string() || !epoch.is_number_integer() || !low_is_important.is_boolean()) {
      refuse(
          "\"importance\": expected a text \"measure\", an integer \"epoch\" and a \"low_is_important\" of true or "
          "false");
    }
    Measure measure{.name = name, .epoch = epoch, .ratings = {}};
    const bool low = low_is_important.get<bool>();
    measure.ratings =
        first_matrix(member(importance, "values"), "importance", low ? std::optional(infinity) : std::nullopt);
    if (low) {
      for (double& rating : measure.ratings) rating = -rating;
    }
    return measure;
  }

  const Json& row_;
  std::string where_;
};

/// The epochs asked for. Throws InputError.
std::vector<Epoch> read_epochs(const std::string& run, std::optional<std::int64_t> number, bool all) {
  const std::filesystem::path folder = run;
  const std::string file = (folder / "metrics.jsonl").string();
  if (!std::filesystem::exists(file)) throw InputError(run + ": found no metrics.jsonl, expected a run directory");
  if (std::filesystem::exists(folder / "genotype.json")) {
    if (const std::string_view space = space_of(genotype_source(run)); space != nb201::space_name) {
      throw InputError(run + ": found a search on the space " + std::string(space) + ", expected " +
                       std::string(nb201::space_name));
    }
  }
  const std::vector<Json> rows = read_metrics(file);
  if (rows.empty()) throw InputError(file + ": found no epoch, expected one at least");
  const std::int64_t last = RowReader::number_of(rows.back());
  if (number && (*number < 1 || *number > last)) {
    throw InputError("--epoch: found " + std::to_string(*number) + ", expected 1 to " + std::to_string(last));
  }
  std::vector<Epoch> epochs;
  for (const Json& row : rows) {
    const RowReader reader(row, file);
    if (!reader.has_genotype() || (number && *number != RowReader::number_of(row))) continue;
    if (!all) epochs.clear();
    epochs.push_back(reader.read());
  }
  if (epochs.empty()) {
    throw InputError(file + ": " +
                     (number ? "epoch " + std::to_string(*number) : "epochs 1 to " + std::to_string(last)) +
                     ": found no importance yet and so no architecture, expected an epoch after a measurement");
  }
  return epochs;
}

// ---- What is true ----

nb201::DataSet data_set_of(const std::string& name) {
  const auto found = std::ranges::find(nb201::data_set_names, name);
  if (found == nb201::data_set_names.end()) {
    throw InputError("--dataset: found " + quote(name) + ", expected \"cifar10\", \"cifar100\" or \"imagenet16_120\"");
  }
  return nb201::all_data_sets[static_cast<std::size_t>(found - nb201::data_set_names.begin())];
}

/// The accuracies of the cell with each op on each edge.
Ratings accuracies_around(nb201::Genotype cell, const nb201::BenchmarkTable& table, nb201::DataSet set) {
  Ratings accuracies{};
  for (std::size_t edge = 0; edge < edge_count; ++edge) {
    const nb201::Op own = cell.ops[edge];
    for (std::size_t op = 0; op < op_count; ++op) {
      cell.ops[edge] = static_cast<nb201::Op>(op);
      accuracies[edge * op_count + op] = table.accuracy(cell, set);
    }
    cell.ops[edge] = own;
  }
  return accuracies;
}

/// The ranks of an edge's ops, 5 the best, averaged over all cells that differ elsewhere.
Ratings ranks_over_all_cells(const nb201::BenchmarkTable& table, nb201::DataSet set) {
  Ratings ranks{};
  for (int index = 0; index < nb201::genotype_count; ++index) {
    const nb201::Genotype cell = nb201::Genotype::from_index(index);
    const Ratings accuracies = accuracies_around(cell, table, set);
    for (std::size_t edge = 0; edge < edge_count; ++edge) {
      const std::size_t own = edge * op_count + static_cast<std::size_t>(cell.ops[edge]);
      ranks[own] += mean_ranks(of_edge(accuracies, edge))[own % op_count];
    }
  }
  for (double& rank : ranks) rank /= static_cast<double>(nb201::genotype_count) / static_cast<double>(op_count);
  return ranks;
}

// ---- Both ----

struct Coefficients {
  std::optional<double> tau, rho;
};

Coefficients correlate(std::span<const double> ratings, std::span<const double> truth) {
  return {kendall_tau_b(ratings, truth), spearman_rho(ratings, truth)};
}

/// Of one measure with the truth.
struct Correlation {
  std::array<Coefficients, edge_count> edges;
  Coefficients mean;  // over the edges that have one
  Coefficients all;   // of all ops of all edges in one list
};

Correlation correlate(const Ratings& ratings, const Ratings& truth) {
  Correlation correlation;
  for (std::size_t edge = 0; edge < edge_count; ++edge) {
    correlation.edges[edge] = correlate(of_edge(ratings, edge), of_edge(truth, edge));
  }
  const auto mean = [&](std::optional<double> Coefficients::*which) -> std::optional<double> {
    double sum = 0;
    int count = 0;
    for (const Coefficients& edge : correlation.edges) {
      sum += (edge.*which).value_or(0);
      count += (edge.*which).has_value();
    }
    return count == 0 ? std::nullopt : std::optional(sum / count);
  };
  correlation.mean = {mean(&Coefficients::tau), mean(&Coefficients::rho)};
  correlation.all = correlate(std::span<const double>(ratings), std::span<const double>(truth));
  return correlation;
}

/// An epoch's architecture and measures beside the truth.
struct Comparison {
  Epoch epoch;
  Ratings truth{};
  std::vector<Correlation> correlations;  // a measure each

  [[nodiscard]] std::string_view best_op(std::size_t edge) const {
    const auto ratings = of_edge(truth, edge);
    return nb201::op_names[static_cast<std::size_t>(std::ranges::max_element(ratings) - ratings.begin())];
  }
};

// ---- How it is shown ----

std::string number(std::optional<double> coefficient) {
  if (!coefficient) return "-";
  std::ostringstream text;
  text << std::fixed << std::setprecision(3) << *coefficient;
  return text.str();
}

/// The lines above a table: a column of width 8, then two a measure.
void print_head(const std::string& rows, const std::vector<Measure>& measures) {
  std::cout << std::string(8, ' ');
  for (const Measure& measure : measures) std::cout << std::right << std::setw(22) << measure.name;
  std::cout << "\n" << std::left << std::setw(8) << rows << std::right;
  for (std::size_t i = 0; i < measures.size(); ++i) std::cout << std::setw(14) << "tau-b" << std::setw(8) << "rho";
}

void print_row(const std::string& name, const std::vector<Correlation>& correlations, auto&& coefficients) {
  std::cout << "\n" << std::left << std::setw(8) << name << std::right;
  for (const Correlation& correlation : correlations) {
    const Coefficients& both = coefficients(correlation);
    std::cout << std::setw(14) << number(both.tau) << std::setw(8) << number(both.rho);
  }
}

void print_edges(const Comparison& comparison) {
  print_head("edge", comparison.epoch.measures);
  std::cout << "  " << std::left << std::setw(14) << "derived"
            << "best";
  for (std::size_t edge = 0; edge < edge_count; ++edge) {
    print_row(std::string(nb201::edge_names[edge]), comparison.correlations,
              [&](const Correlation& correlation) { return correlation.edges[edge]; });
    std::cout << "  " << std::left << std::setw(14) << name_of(comparison.epoch.genotype.ops[edge])
              << comparison.best_op(edge);
  }
  print_row("mean", comparison.correlations, [](const Correlation& correlation) { return correlation.mean; });
  print_row("all 30", comparison.correlations, [](const Correlation& correlation) { return correlation.all; });
  std::cout << "\n";
}

void print_curve(const std::vector<Comparison>& curve) {
  print_head("epoch", curve.front().epoch.measures);
  for (const Comparison& comparison : curve) {
    print_row(std::to_string(comparison.epoch.number), comparison.correlations,
              [](const Correlation& correlation) { return correlation.mean; });
  }
  std::cout << "\n";
}

Json to_json(const Coefficients& coefficients) {
  const auto value = [](std::optional<double> one) { return one ? Json(*one) : Json(nullptr); };
  return {{"kendall_tau_b", value(coefficients.tau)}, {"spearman_rho", value(coefficients.rho)}};
}

Json to_json(const Comparison& comparison, const std::string& truth_name) {
  Json truth = Json::object(), measures = Json::array();
  for (std::size_t edge = 0; edge < edge_count; ++edge) {
    for (std::size_t op = 0; op < op_count; ++op) {
      truth[std::string(nb201::edge_names[edge])][std::string(nb201::op_names[op])] =
          comparison.truth[edge * op_count + op];
    }
  }
  for (std::size_t i = 0; i < comparison.correlations.size(); ++i) {
    const Correlation& correlation = comparison.correlations[i];
    Json edges = Json::object();
    for (std::size_t edge = 0; edge < edge_count; ++edge) {
      edges[std::string(nb201::edge_names[edge])] = to_json(correlation.edges[edge]);
    }
    measures.push_back({{"measure", comparison.epoch.measures[i].name},
                        {"epoch", comparison.epoch.measures[i].epoch},
                        {"edges", std::move(edges)},
                        {"mean", to_json(correlation.mean)},
                        {"all", to_json(correlation.all)}});
  }
  return {{"epoch", comparison.epoch.number},
          {"genotype", to_string(comparison.epoch.genotype)},
          {truth_name, std::move(truth)},
          {"measures", std::move(measures)}};
}

}  // namespace

void Correlate::declare(CLI::App& command) {
  command.add_option("RUN", run_directory, "Run directory of a search on NAS-Bench-201")->required();
  command.add_option("--table", table,
                     "Table to use instead of the one that comes with flowdarts, as --benchmark-table of query");
  command.add_option("--dataset", data_set, "True accuracy: cifar10 (the default), cifar100 or imagenet16_120");
  auto* one =
      command.add_option("--epoch", epoch, "Epoch of the run, from 1; if not given, the last that has an importance");
  command.add_flag("--curve", curve, "The means over the edges for every epoch that has an importance")->excludes(one);
  command.add_flag("--all-cells", all_cells,
                   "An op's true rank on an edge is its mean over all cells, not that in the run's cell");
  command.add_flag("--json", json, "Print one JSON object, with --curve an array of them");
}

void Correlate::run() const {
  const nb201::DataSet set = data_set_of(data_set);
  std::vector<Epoch> epochs = read_epochs(run_directory, epoch, curve);
  const auto accuracies = table ? nb201::BenchmarkTable::load(*table) : nb201::BenchmarkTable::shipped();
  std::optional<Ratings> everywhere;
  if (all_cells) everywhere = ranks_over_all_cells(accuracies, set);
  std::vector<Comparison> comparisons;
  for (Epoch& one : epochs) {
    Comparison comparison{.epoch = std::move(one), .truth = {}, .correlations = {}};
    comparison.truth = everywhere ? *everywhere : accuracies_around(comparison.epoch.genotype, accuracies, set);
    for (const Measure& measure : comparison.epoch.measures) {
      comparison.correlations.push_back(correlate(measure.ratings, comparison.truth));
    }
    comparisons.push_back(std::move(comparison));
  }
  if (json) {
    Json all = Json::array();
    for (const Comparison& comparison : comparisons) {
      all.push_back(to_json(comparison, all_cells ? "true_rank" : "true_accuracy"));
    }
    std::cout << (curve ? all : all[0]).dump(2) << "\n";
    return;
  }
  const std::string truth =
      (all_cells ? "mean true rank of each op over all cells, " : "true accuracy with each op in turn, ") +
      std::string(name_of(set));
  if (curve) {
    std::cout << "Means over the edges; " << truth << "\n\n";
    print_curve(comparisons);
    return;
  }
  const Comparison& only = comparisons.front();
  std::cout << to_string(only.epoch.genotype) << "\nEpoch " << only.epoch.number;
  for (const Measure& measure : only.epoch.measures) {
    if (measure.epoch != only.epoch.number) std::cout << ", " << measure.name << " of epoch " << measure.epoch;
  }
  std::cout << "; " << truth << "\n\n";
  print_edges(only);
}

}  // namespace flowdarts::app
