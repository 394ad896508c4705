#pragma once

#include <flowdarts/policies/roles.hpp>
#include <flowdarts/spaces/support/capabilities.hpp>
#include <flowdarts/spaces/support/option.hpp>
#include <flowdarts/spaces/support/split.hpp>

namespace flowdarts {

/// Before the search, keeps a random part of T and of V: what any other way to prune has to beat.
struct RandomSubset {
  using role = roles::DataPruning;
  static constexpr const char* name = "RandomSubset";
  static constexpr auto provides = capabilities<tags::prunes_train, tags::prunes_val>;
  static constexpr auto needs = capabilities<>;

  struct Options {
    BOOST_HANA_DEFINE_STRUCT(Options,
                             (Option<double, "part of the training set to keep", 0.5, Open{0.0, 1.0}>, keep_train),
                             (Option<double, "part of the validation set to keep", 0.5, Open{0.0, 1.0}>, keep_val));
  };

  explicit RandomSubset(Options options = {}) : options_(std::move(options)) {}

  /// Called once before the search. `setting` offers void keep_random(Split, double fraction).
  template <class Setting>
  void before_search(Setting& setting) const {
    setting.keep_random(Split::train, options_.keep_train);
    setting.keep_random(Split::val, options_.keep_val);
  }

 private:
  Options options_;
};

}  // namespace flowdarts
