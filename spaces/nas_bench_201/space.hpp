#pragma once
// NAS-Bench-201 as a search space: what a search builds, derives and reports.

#include <flowdarts/spaces/mixed_op/form.hpp>
#include <flowdarts/spaces/nas_bench_201/benchmark_table.hpp>
#include <flowdarts/spaces/nas_bench_201/budget.hpp>
#include <flowdarts/spaces/nas_bench_201/collapse.hpp>
#include <flowdarts/spaces/nas_bench_201/genotype.hpp>
#include <flowdarts/spaces/nas_bench_201/supernet.hpp>
#include <flowdarts/spaces/supernet.hpp>
#include <flowdarts/spaces/support/capabilities.hpp>
#include <flowdarts/spaces/support/option.hpp>
#include <flowdarts/spaces/support/preset.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace flowdarts {

/// Dong and Yang, "NAS-Bench-201", ICLR 2020.
class NasBench201 {
 public:
  static constexpr const char* name = "nas-bench-201";
  static constexpr auto provides = capabilities<tags::one_op_per_edge, tags::partial_channels, tags::any_depth>;
  static constexpr auto needs = capabilities<>;
  using Genotype = nas_bench_201::Genotype;

  struct Options {
    BOOST_HANA_DEFINE_STRUCT(
        Options, (Option<std::int64_t, "C: channels of the first stage", 16, AtLeast{1}>, channels),
        (Option<std::int64_t, "N: cells in each of the three stages", 5, AtLeast{1}>, cells),
        (Option<bool, "the candidates' batch norms keep running statistics", true>, track_statistics),
        (Option<bool, "the candidates' convolutions have a bias, as in AutoDL-Projects", false>, conv_bias),
        (TextOption<"another table of true accuracies (CSV, .gz too; see flowdarts query)">, benchmark_table));
  };

  /// The column of the op without output.
  static constexpr std::int64_t none_column() { return 0; }
  /// Every edge keeps one op.
  [[nodiscard]] static std::vector<OpGroup> op_groups();

  /// What all methods share: `paper`, the settings in which most papers compare methods (100 epochs on halves of the
  /// training images), `imagenet16-120`, the same on that data, and `quick`, minutes on two cores.
  static std::vector<Preset> presets();

  /// Reads the table of true accuracies. Throws InputError where options.benchmark_table is no such table.
  explicit NasBench201(Options options);

  /// Throws InputError unless images of this side can be searched with: a multiple of 4, at least 8.
  static void check_image_size(int image_size);

  /// What make_supernet() builds from. Methods that change the form of the supernet change a copy.
  [[nodiscard]] nas_bench_201::SupernetSpec spec(std::int64_t classes) const;

  /// images are image_size x image_size; throws as check_image_size, and InputError for an oracle in bf16 and for a
  /// spec that does not fit itself.
  [[nodiscard]] static std::shared_ptr<Supernet> make_supernet(const nas_bench_201::SupernetSpec& spec, int image_size,
                                                               SupernetForm form = {});
  [[nodiscard]] std::shared_ptr<Supernet> make_supernet(std::int64_t classes, int image_size,
                                                        SupernetForm form = {}) const {
    return make_supernet(spec(classes), image_size, form);
  }

  /// scores: the [6, 5] matrix, row-major; the largest of each row wins. Edge weights, where there are any, do not
  /// count: they are the same for all ops of an edge.
  [[nodiscard]] Genotype derive(const std::vector<std::vector<double>>& scores) const {
    return nas_bench_201::derive(scores.at(0));
  }

  /// Of the stand-alone network of the papers, C = 16 and N = 5.
  [[nodiscard]] static NetworkCost cost(const Genotype& genotype, const NetworkInput& input);
  [[nodiscard]] static NetworkCost least_cost(const NetworkInput& input);
  /// derive() among the cells whose network is within the budget; none where there is none.
  [[nodiscard]] static std::optional<Genotype> derive_within(const std::vector<std::vector<double>>& scores,
                                                             const Budget& budget, const NetworkInput& input);

  /// Test accuracies in percent after 200 epochs of training alone: cifar10, cifar100, imagenet16_120.
  [[nodiscard]] std::vector<std::pair<std::string, double>> true_accuracies(const Genotype& genotype) const;

  static std::string to_text(const Genotype& genotype) { return nas_bench_201::to_string(genotype); }
  static Genotype from_text(const std::string& text) { return nas_bench_201::parse_genotype(text); }
  static std::string to_json(const Genotype& genotype) { return nas_bench_201::to_json(genotype); }
  static std::string to_dot(const Genotype& genotype) { return nas_bench_201::to_dot(genotype); }
  static std::string draw(const Genotype& genotype);
  static CollapseVerdict collapse_verdict(const Genotype& genotype) {
    return nas_bench_201::collapse_verdict(genotype);
  }

 private:
  Options options_;
  nas_bench_201::BenchmarkTable table_;
};

}  // namespace flowdarts
