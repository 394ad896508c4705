#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <flowdarts/policies/is_darts_preset.hpp>
#include <flowdarts/policies/roles.hpp>
#include <flowdarts/spaces/support/capabilities.hpp>
#include <flowdarts/spaces/support/option.hpp>
#include <flowdarts/spaces/support/preset.hpp>
#include <string_view>
#include <utility>
#include <vector>

namespace flowdarts {

/// Ranks ops by the information measure of their feature maps (IS-DARTS, section 3.1): F, a Fisher information that a
/// map with little spread over its channels makes large (stages/measure/feature_information.hpp). The importance IIM is
/// its inverse, so the op of the smallest F is the most important; `none` has F = +inf. Measured on a fixed random part
/// of the training images, not augmented, with the batches' own statistics.
struct FeatureInformation {
  using role = roles::Importance;
  static constexpr const char* name = "FeatureInformation";
  static constexpr auto provides = capabilities<tags::selects_by_group>;
  static constexpr auto needs = capabilities<tags::all_ops_run>;
  static constexpr bool sees_outputs = true;
  static constexpr bool low_is_important = true;
  struct Options {
    BOOST_HANA_DEFINE_STRUCT(
        Options, (Option<std::int64_t, "training images it is measured on; 0: all", 200, AtLeast{0}>, images),
        (Option<std::int64_t, "epochs between two measurements; 0: only where something follows from them", 1,
                AtLeast{0}>,
         every));
  };

  explicit FeatureInformation(const Options& options = {}) : options_(options) {}

  static std::vector<Preset> presets(std::string_view space) {
    Preset paper = is_darts_preset(space);
    paper.values.emplace_back("importance-images", space == "nas-bench-201" ? "200" : "600");
    return {std::move(paper), {.name = "quick", .values = {{"importance-images", "200"}, {"w-nesterov", "true"}}}};
  }

  [[nodiscard]] bool measures_after(std::int64_t completed) const {
    return options_.every > 0 && completed % options_.every == 0;
  }

  /// `setting` offers std::vector<std::vector<double>> feature_information(std::int64_t images).
  template <class Setting>
  void measure(Setting& setting) {
    information_ = setting.feature_information(options_.images);
  }

  /// -F: larger is better; none before the first measurement.
  [[nodiscard]] std::vector<std::vector<double>> scores(const std::vector<torch::Tensor>& /* op_weights */) const {
    std::vector<std::vector<double>> negated = information_;
    for (auto& matrix : negated) {
      for (double& value : matrix) value = -value;
    }
    return negated;
  }
  /// F.
  [[nodiscard]] const std::vector<std::vector<double>>& measured() const { return information_; }

  template <class Writer>
  void save(Writer& writer) const {
    writer.put(std::uint64_t{information_.size()});
    for (const auto& matrix : information_) writer.put_vector(matrix);
  }
  template <class Reader>
  void load(Reader& reader) {
    information_.clear();
    for (auto left = reader.template get<std::uint64_t>(); left > 0; --left) {
      information_.push_back(reader.template get_vector<double>());
    }
  }

 private:
  Options options_;
  std::vector<std::vector<double>> information_;
};

}  // namespace flowdarts
