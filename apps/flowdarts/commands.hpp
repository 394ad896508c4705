#pragma once
// The commands of the `flowdarts` program. Each is its options, how it declares them, and its output on stdout; they
// throw InputError and RunError.

#include <CLI/App.hpp>
#include <flowdarts/spaces/nas_bench_201/benchmark_table.hpp>
#include <flowdarts/spaces/nas_bench_201/count.hpp>
#include <flowdarts/spaces/nas_bench_201/genotype.hpp>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

namespace flowdarts::app {

/// `flowdarts list`: the search programs that were built.
struct List {
  bool json = false;
  void declare(CLI::App& command);
  void run() const;
};

/// `flowdarts query ARCH`: the true accuracies of a cell.
struct Query {
  std::string genotype;
  std::optional<std::string> benchmark_table;
  bool json = false;
  void declare(CLI::App& command);
  void run() const;
};

/// `flowdarts info`: what a stand-alone network costs.
struct Info {
  std::string space{nas_bench_201::space_name};
  std::string genotype;
  nas_bench_201::NetworkShape shape;
  bool json = false;
  void declare(CLI::App& command);
  void run() const;
};

/// A genotype from an architecture string, a genotype.json or a run directory that holds one.
nas_bench_201::Genotype genotype_from(const std::string& argument);

/// Adds each data set's accuracy under its name and the rank under "rank_" + name.
void add_accuracies(nlohmann::ordered_json& object, const nas_bench_201::BenchmarkTable& table,
                    const nas_bench_201::Genotype& genotype);

/// A line a data set: name, test accuracy, rank.
void print_accuracies(const nas_bench_201::BenchmarkTable& table, const nas_bench_201::Genotype& genotype);

}  // namespace flowdarts::app
