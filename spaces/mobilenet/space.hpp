#pragma once
// The MobileNet-like chain as a search space: what a search builds, derives and reports.

#include <flowdarts/spaces/mixed_op/form.hpp>
#include <flowdarts/spaces/mobilenet/budget.hpp>
#include <flowdarts/spaces/mobilenet/collapse.hpp>
#include <flowdarts/spaces/mobilenet/genotype.hpp>
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

/// 21 layers of an MBConv each, or none: the space of ProxylessNAS (Cai, Zhu, Han, ICLR 2019), searched as a mixture of
/// all candidates.
class Mobilenet {
 public:
  static constexpr const char* name = "mobilenet";
  static constexpr auto provides = capabilities<tags::one_op_per_edge>;
  static constexpr auto needs = capabilities<>;
  using Genotype = mobilenet::Genotype;

  struct Options {
    BOOST_HANA_DEFINE_STRUCT(
        Options,
        (TextOption<"channels of the stem, of stages 0 to 6 and of the head", "32,16,32,40,80,96,192,320,1280">,
         widths),
        (Option<std::int64_t, "stride of the stem: 2, or 1 for small images", 2, Closed{1, 2}>, stem_stride));
  };

  /// The column of the op that adds nothing to its layer: `skip`. Layers of six ops have none.
  static constexpr std::int64_t none_column() { return mobilenet::conv_op_count; }
  /// Every layer keeps one op.
  [[nodiscard]] static std::vector<OpGroup> op_groups();

  /// `paper`: what BDP says of its search, the rest as PC-DARTS on ImageNet; `imagenet`: with the data of both;
  /// `quick`: a narrow supernet for small images.
  static std::vector<Preset> presets();

  /// Throws InputError where options.widths are no nine widths.
  explicit Mobilenet(const Options& options);

  /// Throws InputError unless images of this side can be searched with: so large that more than one pixel is left
  /// behind the last layer.
  void check_image_size(int image_size) const;

  /// Throws InputError where a candidate would have one channel: what measures spread over channels needs two.
  void check_channels() const;

  /// images are image_size x image_size; throws as check_image_size, and InputError for an oracle in bf16.
  [[nodiscard]] std::shared_ptr<Supernet> make_supernet(std::int64_t classes, int image_size,
                                                        SupernetForm form = {}) const;

  /// scores: a row for each of the 21 layers; the largest of each wins.
  [[nodiscard]] Genotype derive(const std::vector<std::vector<double>>& scores) const {
    return mobilenet::derive(scores);
  }

  /// Of the stand-alone network of the search's widths and stem.
  [[nodiscard]] NetworkCost cost(const Genotype& genotype, const NetworkInput& input) const;
  [[nodiscard]] NetworkCost least_cost(const NetworkInput& input) const;
  /// derive() among the chains whose network is within the budget; none where there is none.
  [[nodiscard]] std::optional<Genotype> derive_within(const std::vector<std::vector<double>>& scores,
                                                      const Budget& budget, const NetworkInput& input) const;

  /// None is known.
  [[nodiscard]] std::vector<std::pair<std::string, double>> true_accuracies(const Genotype&) const { return {}; }

  static std::string to_text(const Genotype& genotype) { return mobilenet::to_string(genotype); }
  static Genotype from_text(const std::string& text) { return mobilenet::parse_genotype(text); }
  static std::string to_json(const Genotype& genotype) { return mobilenet::to_json(genotype); }
  static std::string to_dot(const Genotype& genotype) { return mobilenet::to_dot(genotype); }
  static std::string draw(const Genotype& genotype);
  static CollapseVerdict collapse_verdict(const Genotype& genotype) { return mobilenet::collapse_verdict(genotype); }

 private:
  [[nodiscard]] mobilenet::NetworkShape shape_for(const NetworkInput& input) const;

  mobilenet::Widths widths_;
  std::int64_t stem_stride_;
};

}  // namespace flowdarts
