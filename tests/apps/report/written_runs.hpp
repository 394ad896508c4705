#pragma once
// Run directories with rows as a search writes them.

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace flowdarts::report {

using Json = nlohmann::ordered_json;

inline const std::string nas_bench_cell =
    "|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_3x3~1|skip_connect~2|";
inline const std::string darts_cells =
    "Genotype(normal=[('sep_conv_3x3', 0), ('skip_connect', 1), ('sep_conv_3x3', 0), ('dil_conv_5x5', 2), "
    "('sep_conv_3x3', "
    "0), ('skip_connect', 1), ('max_pool_3x3', 4), ('skip_connect', 1)], normal_concat=range(2, 6), "
    "reduce=[('max_pool_3x3', 0), ('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 1), ('max_pool_3x3', 0), "
    "('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)], reduce_concat=range(2, 6))";
inline const std::string layer_string =
    "k3e3,k3e6,k5e3,skip,k5e6,k7e3,k7e6,k3e3,k3e3,skip,skip,k5e6,k7e6,k3e6,k5e3,k7e3,k5e3,k5e3,k5e3,k5e3,k7e6";

/// `count` numbers from `first` upwards in steps of 0.01.
inline std::vector<double> numbers(std::size_t count, double first) {
  std::vector<double> values(count);
  for (std::size_t i = 0; i < count; ++i) values[i] = first + 0.01 * static_cast<double>(i);
  return values;
}

inline Json split_row(int samples, double loss, double accuracy) {
  return {{"samples", samples}, {"loss", loss}, {"accuracy", accuracy}, {"balance", 1.0}};
}

/// A row of a search with alpha on NAS-Bench-201; losses fall and accuracies rise by epoch.
inline Json search_row(int epoch) {
  const Json weights = Json::array({numbers(30, 0.01 * epoch)});
  return {{"epoch", epoch},
          {"lr", 0.025},
          {"train", split_row(100, 2.5 / epoch, 0.1 * epoch)},
          {"val", split_row(80, 2.6 / epoch, 0.09 * epoch)},
          {"genotype", nas_bench_cell},
          {"true_accuracy", {{"cifar10", 90.0 + epoch}, {"cifar100", 70.0}, {"imagenet16_120", 40.0}}},
          {"collapse",
           {{"collapsed", false}, {"reason", "3 of 6 ops without parameters (skip_connect 2, avg_pool_3x3 1)"}}},
          {"alpha", weights},
          {"op_weights", weights},
          {"importance", nullptr},
          {"ops_left", nullptr},
          {"pruned", nullptr},
          {"hessian", nullptr},
          {"seconds",
           {{"epoch", 10.0}, {"arch_step", 3.0}, {"weight_step", 4.0}, {"device_waiting", 0.5}, {"loading", 6.0}}}};
}

/// A row of the training of a stand-alone network.
inline Json training_row(int epoch) {
  return {{"epoch", epoch},
          {"lr", 0.025},
          {"train", {{"samples", 100}, {"loss", 2.0 / epoch}, {"accuracy", 0.2 * epoch}}},
          {"test", {{"loss", 2.2 / epoch}, {"accuracy", epoch == 2 ? 0.8 : 0.7}, {"top5", 0.95}}},
          {"seconds", {{"epoch", 10.0}, {"weight_step", 7.0}, {"test", 2.0}, {"loading", 6.0}}}};
}

inline std::string config_of(const std::string& method, const std::string& space, int seed,
                             const std::string& more = "") {
  return "[search]\nmethod = '" + method + "'\nspace = '" + space +
         "'\n\n[run]\nout = 'x'\nseed = " + std::to_string(seed) +
         "\nepochs = 3\nthreads = 1\n\n[data]\ndataset = 'cifar10'\n\n[alpha]\nlr = 3e-04\n" + more;
}

class WrittenRuns : public testing::Test {
 protected:
  void SetUp() override { std::filesystem::create_directories(folder_); }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  static void write(const std::filesystem::path& file, const std::string& text) {
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file, std::ios::binary) << text;
  }

  static std::string read(const std::filesystem::path& file) {
    std::ifstream stream(file, std::ios::binary);
    return {std::istreambuf_iterator<char>(stream), {}};
  }

  /// The folder of a run with these rows.
  [[nodiscard]] std::string write_run(const std::string& name, const std::string& config,
                                      const std::vector<Json>& rows) const {
    std::string lines;
    for (const Json& row : rows) lines += row.dump() + "\n";
    write(folder_ / name / "metrics.jsonl", lines);
    write(folder_ / name / "config.toml", config);
    return (folder_ / name).string();
  }

  /// A run of `epochs` epochs with alpha on NAS-Bench-201.
  [[nodiscard]] std::string write_search(const std::string& name, const std::string& method = "darts", int seed = 0,
                                         int epochs = 3, const std::string& more = "") const {
    std::vector<Json> rows;
    for (int epoch = 1; epoch <= epochs; ++epoch) rows.push_back(search_row(epoch));
    return write_run(name, config_of(method, "nas-bench-201", seed, more), rows);
  }

  std::filesystem::path folder_ =
      std::filesystem::temp_directory_path() / ("flowdarts_report_" + std::to_string(getpid()));
};

}  // namespace flowdarts::report
