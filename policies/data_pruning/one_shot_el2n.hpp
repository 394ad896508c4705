#pragma once

#include <flowdarts/policies/data_pruning/rule.hpp>
#include <flowdarts/policies/roles.hpp>
#include <flowdarts/spaces/support/capabilities.hpp>
#include <flowdarts/spaces/support/option.hpp>
#include <flowdarts/spaces/support/split.hpp>

namespace flowdarts {

/// Before the search, discards a part of T and of V by EL2N score: the mean over several short trainings of a small
/// fixed network of ||softmax - one-hot||_2 (Paul, Ganguli, Dziugaite: Deep learning on a data diet, NeurIPS 2021; the
/// baseline of BDP's Table 2). Low discards easy samples, high hard ones.
struct OneShotEl2n {
  using role = roles::DataPruning;
  static constexpr const char* name = "OneShotEl2n";
  static constexpr auto provides = capabilities<tags::prunes_train, tags::prunes_val>;
  static constexpr auto needs = capabilities<tags::fixed_split>;

  struct Options {
    BOOST_HANA_DEFINE_STRUCT(
        Options, (Option<double, "part of the training set to discard", 0.5, HalfOpen{0.0, 1.0}>, ratio_train),
        (Option<double, "part of the validation set to discard", 0.5, HalfOpen{0.0, 1.0}>, ratio_val),
        (Option<Criterion, "which scores leave the training set", Criterion::low>, criterion_train),
        (Option<Criterion, "which scores leave the validation set", Criterion::high>, criterion_val),
        (Option<std::int64_t, "independent trainings the score is averaged over", 5, AtLeast{1}>, runs),
        (Option<std::int64_t, "epochs of each training", 10, AtLeast{1}>, score_epochs));
  };

  explicit OneShotEl2n(Options options = {}) : options_(std::move(options)) {}

  /// Called once before the search. `setting` offers
  ///   std::vector<double> el2n_scores(std::int64_t runs, std::int64_t epochs), one score a sample of T and V by id,
  ///   and void cut(Split, const std::vector<double>& scores, double fraction, Criterion).
  template <class Setting>
  void before_search(Setting& setting) const {
    const auto scores = setting.el2n_scores(options_.runs, options_.score_epochs);
    setting.cut(Split::train, scores, options_.ratio_train, options_.criterion_train);
    setting.cut(Split::val, scores, options_.ratio_val, options_.criterion_val);
  }

 private:
  Options options_;
};

}  // namespace flowdarts
