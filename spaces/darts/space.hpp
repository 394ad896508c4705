#pragma once
// The DARTS space as a search space: what a search builds, derives and reports.

#include <flowdarts/spaces/darts/budget.hpp>
#include <flowdarts/spaces/darts/collapse.hpp>
#include <flowdarts/spaces/darts/genotype.hpp>
#include <flowdarts/spaces/darts/spec.hpp>
#include <flowdarts/spaces/mixed_op/form.hpp>
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

/// Liu, Simonyan, Yang, "DARTS: Differentiable Architecture Search", ICLR 2019.
class Darts {
 public:
  static constexpr const char* name = "darts";
  static constexpr auto provides =
      capabilities<tags::two_inputs_per_node, tags::partial_channels, tags::skip_limit, tags::any_depth>;
  static constexpr auto needs = capabilities<>;
  using Genotype = darts::Genotype;

  struct Options {
    BOOST_HANA_DEFINE_STRUCT(
        Options, (Option<std::int64_t, "C: channels of the first cells", 16, AtLeast{1}>, channels),
        (Option<std::int64_t, "L: cells; the cells L/3 and 2L/3 reduce", 8, Closed{1, 100}>, cells),
        (Option<std::int64_t, "nodes of a cell", darts::default_nodes, Closed{1, darts::max_nodes}>, nodes),
        (Option<darts::Stem, "layers before the cells", darts::Stem::cifar>, stem),
        (Option<bool, "`none` is a candidate; without it there are seven", true>, with_none),
        (Option<bool, "batch norm behind the candidates' pools", true>, pool_norm),
        (Option<bool, "the cells' 1x1 convolutions have a bias, as in IS-DARTS", false>, conv_bias),
        (Option<bool, "batch norm and ReLU before the classifier, as in IS-DARTS", false>, last_norm),
        (Option<bool, "the cells' batch norms keep running statistics", true>, track_statistics));
  };

  /// The column of the op without output; -1 where it is no candidate.
  [[nodiscard]] int none_column() const { return options_.with_none ? 0 : -1; }
  /// All ops on all edges into a node compete, and it keeps two (IS-DARTS).
  [[nodiscard]] std::vector<OpGroup> op_groups() const;

  /// `paper`, DARTS' search on CIFAR-10 (Liu et al., ICLR 2019, with the learning rate of its code), `imagenet`, the
  /// search on a part of ImageNet of PC-DARTS' code, and `quick`.
  static std::vector<Preset> presets();

  /// Throws InputError where options do not fit one another.
  explicit Darts(Options options);

  /// Throws InputError unless images of this side can be searched with: a multiple of 4, at least 8. The ImageNet stem
  /// needs more, which make_supernet() checks.
  static void check_image_size(int image_size);

  /// What make_supernet() builds from. Methods that change the form of the supernet (partial channels, edge weights,
  /// masks, more cells) change a copy.
  [[nodiscard]] darts::SupernetSpec spec(std::int64_t classes) const;

  /// images are image_size x image_size; throws as check_image_size, with the ImageNet stem unless it is a multiple of
  /// 32 and at least 64, and InputError for an oracle in bf16.
  [[nodiscard]] std::shared_ptr<Supernet> make_supernet(std::int64_t classes, int image_size,
                                                        SupernetForm form = {}) const {
    return make_supernet(spec(classes), image_size, form);
  }
  [[nodiscard]] static std::shared_ptr<Supernet> make_supernet(const darts::SupernetSpec& spec, int image_size,
                                                               SupernetForm form = {});

  /// scores: for each matrix of the supernet's arch_shapes(), row-major: two of ops, in one scale over all edges (such
  /// as mixing weights), and with edge weights two of those. DARTS' or PC-DARTS' rule, see darts/derive.hpp.
  [[nodiscard]] Genotype derive(const std::vector<std::vector<double>>& scores) const;

  /// Of each of op_groups() the two ops of largest score but `none` (IS-DARTS, see darts/derive.hpp). scores: two
  /// matrices of ops, in one scale over the edges of a node; -infinity for an op that is gone. Edge weights do not
  /// count.
  [[nodiscard]] Genotype derive_by_group(const std::vector<std::vector<double>>& scores) const;

  /// P-DARTS' rule: of the ops that `masks` leave, with at most `skips` skips in the normal cell. scores, masks: as
  /// many matrices as derive() takes; scores are positive.
  [[nodiscard]] Genotype derive_with_skip_limit(const std::vector<std::vector<double>>& scores,
                                                const std::vector<std::vector<bool>>& masks, std::int64_t skips) const;

  /// Of the stand-alone network of the papers: C = 36 and L = 20, with the ImageNet stem C = 48 and L = 14.
  [[nodiscard]] NetworkCost cost(const Genotype& genotype, const NetworkInput& input) const;
  [[nodiscard]] NetworkCost least_cost(const NetworkInput& input) const;
  /// The three rules above among the genotypes whose network is within the budget; none where there is none. The best
  /// one has the largest sum of scores over all terms of its nodes.
  [[nodiscard]] std::optional<Genotype> derive_within(const std::vector<std::vector<double>>& scores,
                                                      const Budget& budget, const NetworkInput& input) const;
  [[nodiscard]] std::optional<Genotype> derive_by_group_within(const std::vector<std::vector<double>>& scores,
                                                               const Budget& budget, const NetworkInput& input) const;
  [[nodiscard]] std::optional<Genotype> derive_with_skip_limit_within(const std::vector<std::vector<double>>& scores,
                                                                      const std::vector<std::vector<bool>>& masks,
                                                                      std::int64_t skips, const Budget& budget,
                                                                      const NetworkInput& input) const;

  /// There is no table of them for this space.
  [[nodiscard]] static std::vector<std::pair<std::string, double>> true_accuracies(const Genotype& /*genotype*/) {
    return {};
  }

  static std::string to_text(const Genotype& genotype) { return darts::to_string(genotype); }
  static Genotype from_text(const std::string& text) { return darts::parse_genotype(text); }
  static std::string to_json(const Genotype& genotype) { return darts::to_json(genotype); }
  static std::string to_dot(const Genotype& genotype) { return darts::to_dot(genotype); }
  static std::string draw(const Genotype& genotype);
  static CollapseVerdict collapse_verdict(const Genotype& genotype) { return darts::collapse_verdict(genotype); }

 private:
  [[nodiscard]] darts::NetworkFrame frame_for(const NetworkInput& input) const;
  [[nodiscard]] int nodes() const { return static_cast<int>(options_.nodes.value); }

  Options options_;
};

}  // namespace flowdarts
