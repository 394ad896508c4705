#pragma once
// The true test accuracy of every NAS-Bench-201 cell.

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <flowdarts/spaces/nas_bench_201/genotype.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace flowdarts::nas_bench_201 {

enum class DataSet : std::uint8_t { cifar10, cifar100, imagenet16_120 };

inline constexpr std::array all_data_sets{DataSet::cifar10, DataSet::cifar100, DataSet::imagenet16_120};
inline constexpr std::array<std::string_view, 3> data_set_names{"cifar10", "cifar100", "imagenet16_120"};
constexpr std::string_view name_of(DataSet set) {
  return data_set_names[static_cast<std::size_t>(set)];
}

/// Test accuracies in percent and ranks of all 15,625 cells on three data sets. Immutable once read.
///
/// Its text is CSV: the line `arch,cifar10_test,cifar100_test,imagenet16_120_test`, then a line a cell, in any order:
/// the architecture string and three numbers from 0 to 100. It may be compressed with gzip.
class BenchmarkTable {
 public:
  /// The table that comes with flowdarts, compiled in: networks with C = 16, N = 5, trained for 200 epochs, the mean
  /// over the benchmark's seeds. Reading it takes about ten milliseconds, so keep it.
  static BenchmarkTable shipped();

  /// Reads a file. Throws InputError with file and line for anything that is not as above: another header, a malformed
  /// architecture string, a value that is no number or out of range, a cell given twice, cells missing.
  static BenchmarkTable load(const std::filesystem::path& file);

  /// As load(), from the content of a file; `name` stands for it in messages.
  static BenchmarkTable read(std::string_view content, const std::string& name);

  [[nodiscard]] double accuracy(const Genotype& genotype, DataSet set) const { return row(genotype).accuracy[at(set)]; }

  /// 1 + the number of cells with a higher accuracy: 1 is the best, cells with the same accuracy share a rank.
  [[nodiscard]] int rank(const Genotype& genotype, DataSet set) const { return row(genotype).rank[at(set)]; }

  /// All cells of rank 1, in the order of their index.
  [[nodiscard]] std::vector<Genotype> best(DataSet set) const;

 private:
  struct Row {
    std::array<double, all_data_sets.size()> accuracy{};
    std::array<int, all_data_sets.size()> rank{};
  };

  BenchmarkTable() : rows_(genotype_count) {}
  static std::size_t at(DataSet set) { return static_cast<std::size_t>(set); }
  [[nodiscard]] const Row& row(const Genotype& genotype) const {
    return rows_[static_cast<std::size_t>(genotype.index())];
  }
  void set_ranks();

  std::vector<Row> rows_;  // by Genotype::index()
};

}  // namespace flowdarts::nas_bench_201
