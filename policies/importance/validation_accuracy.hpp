#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <flowdarts/policies/roles.hpp>
#include <flowdarts/spaces/support/capabilities.hpp>
#include <flowdarts/spaces/support/option.hpp>
#include <utility>
#include <vector>

namespace flowdarts {

/// Ranks ops by the validation accuracy of the supernet without the op: the lower, the more important the op (VP-DARTS,
/// Algorithm 1). The op's weight is set to 0 in all cells and nothing is normalised again. A measurement during the
/// search draws a part of V of its own, the one that decides the architecture takes all of V. Equal accuracies: the
/// higher loss, then any op before `none`, then the op that comes first.
struct ValidationAccuracy {
  using role = roles::Importance;
  static constexpr const char* name = "ValidationAccuracy";
  static constexpr auto provides = capabilities<>;
  static constexpr auto needs = capabilities<tags::all_ops_run, tags::held_out_val>;
  static constexpr bool low_is_important = true;
  struct Options {
    BOOST_HANA_DEFINE_STRUCT(
        Options,
        (Option<double, "part of V that a measurement during the search draws", 0.5, Closed{0.0, 1.0}>, fraction),
        (Option<bool, "measure on V as it was before any pruning of data", false>, initial_val),
        (Option<std::int64_t, "epochs between two measurements that nothing but the record needs; 0: none", 0,
                AtLeast{0}>,
         every));
  };

  explicit ValidationAccuracy(const Options& options = {}) : options_(options) {}

  [[nodiscard]] bool measures_after(std::int64_t completed) const {
    return options_.every > 0 && completed % options_.every == 0;
  }

  /// `setting` offers bool decides(), whether the architecture follows from this measurement, and
  ///   removal(double fraction of V, bool initial_val) with matrices accuracy, loss and ranks.
  template <class Setting>
  void measure(Setting& setting) {
    auto removal = setting.removal(setting.decides() ? 1.0 : options_.fraction.value, options_.initial_val);
    accuracy_ = std::move(removal.accuracy);
    ranks_ = std::move(removal.ranks);
  }

  /// Larger is better; none before the first measurement.
  [[nodiscard]] std::vector<std::vector<double>> scores(const std::vector<torch::Tensor>& /* op_weights */) const {
    return ranks_;
  }
  /// The accuracies.
  [[nodiscard]] const std::vector<std::vector<double>>& measured() const { return accuracy_; }

  template <class Writer>
  void save(Writer& writer) const {
    writer.put(std::uint64_t{ranks_.size()});
    for (std::size_t m = 0; m < ranks_.size(); ++m) {
      writer.put_vector(accuracy_[m]);
      writer.put_vector(ranks_[m]);
    }
  }
  template <class Reader>
  void load(Reader& reader) {
    accuracy_.clear();
    ranks_.clear();
    for (auto left = reader.template get<std::uint64_t>(); left > 0; --left) {
      accuracy_.push_back(reader.template get_vector<double>());
      ranks_.push_back(reader.template get_vector<double>());
    }
  }

 private:
  Options options_;
  std::vector<std::vector<double>> accuracy_, ranks_;
};

}  // namespace flowdarts
