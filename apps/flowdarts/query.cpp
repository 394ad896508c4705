#include <flowdarts/spaces/stand_alone/architecture.hpp>
#include <iomanip>
#include <iostream>
#include <nlohmann/json.hpp>

#include "commands.hpp"

namespace flowdarts::app {

namespace nb201 = nas_bench_201;

nb201::Genotype genotype_from(const std::string& argument) {
  return std::get<nb201::Genotype>(read_architecture(genotype_source(argument), nb201::space_name));
}

void add_accuracies(nlohmann::ordered_json& object, const nb201::BenchmarkTable& table,
                    const nb201::Genotype& genotype) {
  for (const auto set : nb201::all_data_sets) object[std::string(name_of(set))] = table.accuracy(genotype, set);
  for (const auto set : nb201::all_data_sets) object["rank_" + std::string(name_of(set))] = table.rank(genotype, set);
}

void print_accuracies(const nb201::BenchmarkTable& table, const nb201::Genotype& genotype) {
  for (const auto set : nb201::all_data_sets) {
    std::cout << std::left << std::setw(16) << name_of(set) << std::right << std::fixed << std::setprecision(4)
              << std::setw(9) << table.accuracy(genotype, set) << " %   rank " << std::setw(5)
              << table.rank(genotype, set) << " of " << nb201::genotype_count << "\n";
  }
}

void Query::declare(CLI::App& command) {
  command.add_option("ARCH", genotype, "NAS-Bench-201 architecture string, run directory or genotype.json")->required();
  command.add_option("--benchmark-table", benchmark_table,
                     "Table to use instead of the one that comes with flowdarts: CSV, also gzipped, with the columns "
                     "arch,cifar10_test,cifar100_test,imagenet16_120_test");
  command.add_flag("--json", json, "Print one JSON object");
}

void Query::run() const {
  const nb201::Genotype cell = genotype_from(genotype);
  const auto table = benchmark_table ? nb201::BenchmarkTable::load(*benchmark_table) : nb201::BenchmarkTable::shipped();
  if (json) {
    nlohmann::ordered_json object{{"genotype", to_string(cell)}};
    add_accuracies(object, table, cell);
    std::cout << object.dump(2) << "\n";
    return;
  }
  std::cout << to_string(cell) << "\n\n";
  print_accuracies(table, cell);
}

}  // namespace flowdarts::app
