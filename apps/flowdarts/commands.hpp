#pragma once
// The commands of the `flowdarts` program. Each is its options, how it declares them, and its output on stdout; they
// throw InputError and RunError.

#include <CLI/App.hpp>
#include <cstdint>
#include <flowdarts/pipeline/run_directory/checkpoint.hpp>
#include <flowdarts/spaces/nas_bench_201/benchmark_table.hpp>
#include <flowdarts/spaces/nas_bench_201/genotype.hpp>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

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

/// `flowdarts info`: what a stand-alone network costs. What is not given is that of the space's papers.
struct Info {
  std::optional<std::string> space;  // else the genotype says it
  std::string genotype;
  std::optional<int> channels, cells, classes, image_size;
  std::optional<std::string> stem;    // of the DARTS space
  std::optional<std::string> widths;  // of the MobileNet-like space
  std::optional<int> stem_stride;     // of the MobileNet-like space
  bool json = false;
  void declare(CLI::App& command);
  void run() const;
};

/// `flowdarts correlate RUN`: how well a search on NAS-Bench-201 ranked the ops of each edge.
struct Correlate {
  std::string run_directory;
  std::optional<std::string> table;
  std::string data_set = "cifar10";
  std::optional<std::int64_t> epoch;  // else the last with an importance
  bool curve = false;
  bool all_cells = false;
  bool json = false;
  void declare(CLI::App& command);
  void run() const;
};

/// `flowdarts report RUN...`: one page about a search, or about several beside each other.
struct Report {
  std::vector<std::string> runs;
  std::optional<std::string> out;  // else beside the only run's files
  std::optional<std::string> figures;
  void declare(CLI::App& command);
  void run() const;
};

/// `flowdarts data split`: lists of the images that are T and V of a search on a part of a folder.
struct DataSplit {
  std::string dataset = "folder";
  std::string data;
  double train = 0, val = 0;  // parts of each class
  std::uint64_t seed = 0;
  std::string out;
  bool skip_corrupt = false;
  void declare(CLI::App& command);
  void run() const;
};

/// `flowdarts data shards FOLDER`: a folder of class folders, or the images of lists, as tar shards.
struct DataShards {
  std::string data;
  std::string out;
  std::string name = "train";
  std::optional<std::string> lists;
  std::optional<std::int64_t> per_shard;  // else as many as shard_mib takes
  std::int64_t shard_mib = 256;
  std::uint64_t seed = 0;
  bool skip_corrupt = false;
  void declare(CLI::App& command);
  void run() const;
};

/// `flowdarts export RUN`: what was found, in files that others read. Also the command line of flowdarts-export, which
/// does all that needs LibTorch.
struct Export {
  std::string source;                            // a run directory or a checkpoint
  std::optional<std::string> onnx, safetensors;  // files to write
  bool genotype_text = false;
  bool supernet = false;
  bool fold_bn = false, features = false;  // of the ONNX file
  void declare(CLI::App& command);
  /// Throws InputError where options do not fit one another.
  void check() const;
  /// Whether the genotype is all that is asked for.
  [[nodiscard]] bool is_text_alone() const { return !onnx && !safetensors; }
  /// What is printed: the genotype, a line, where that is asked for. Throws InputError where there is none.
  [[nodiscard]] std::string text() const;
};

/// A checkpoint, or the newest of a run directory; another process may be writing there. Throws InputError.
Checkpoint checkpoint_of(const std::string& source);
/// Whether it is one of `flowdarts train`, else of a search.
bool is_of_training(const Checkpoint& checkpoint);

/// A NAS-Bench-201 cell from its text, a genotype.json or a run directory.
nas_bench_201::Genotype genotype_from(const std::string& argument);

/// Adds each data set's accuracy under its name and the rank under "rank_" + name.
void add_accuracies(nlohmann::ordered_json& object, const nas_bench_201::BenchmarkTable& table,
                    const nas_bench_201::Genotype& genotype);

/// A line a data set: name, test accuracy, rank.
void print_accuracies(const nas_bench_201::BenchmarkTable& table, const nas_bench_201::Genotype& genotype);

}  // namespace flowdarts::app
