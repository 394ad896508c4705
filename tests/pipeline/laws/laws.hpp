#pragma once
// What makes a LawCase of a method: a recipe costs one instantiation of the search and nothing more.

#include <flowdarts/pipeline/search.hpp>
#include <flowdarts/policies/recipes.hpp>

#include <signal.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "law_case.hpp"

namespace flowdarts::testing {

class CountingSupernet : public Supernet {
 public:
  explicit CountingSupernet(std::shared_ptr<Supernet> inner) : inner_(register_module("inner", std::move(inner))) {}
  torch::Tensor forward(const torch::Tensor& images, const std::vector<torch::Tensor>& op_weights) override {
    if (PassCounter::passes++ == PassCounter::interrupt_at) ::raise(SIGTERM);
    for (const torch::Tensor& weights : op_weights) {
      const torch::Tensor host = weights.detach().to(torch::kCPU).contiguous();
      PassCounter::op_weights.add({static_cast<const std::uint8_t*>(host.const_data_ptr()), host.nbytes()});
    }
    return inner_->forward(images, op_weights);
  }
  [[nodiscard]] std::vector<ArchShape> arch_shapes() const override { return inner_->arch_shapes(); }
  void set_statistics_updates(bool enabled) override { inner_->set_statistics_updates(enabled); }
  void set_masks(const std::vector<torch::Tensor>& masks) override { inner_->set_masks(masks); }
  void set_skip_dropout(const SkipDropout& dropout) override { inner_->set_skip_dropout(dropout); }
  void share_statistics(const std::shared_ptr<const RankSum>& sum) override { inner_->share_statistics(sum); }
  void set_output_observer(OutputObserver observer) override { inner_->set_output_observer(std::move(observer)); }

 private:
  std::shared_ptr<Supernet> inner_;
};

/// A space whose passes are counted.
template <class Space>
class Counted : public Space {
 public:
  explicit Counted(const typename Space::Options& options) : Space(options) {}
  template <class... Arguments>
  [[nodiscard]] std::shared_ptr<Supernet> make_supernet(const Arguments&... arguments) const {
    return std::make_shared<CountingSupernet>(Space::make_supernet(arguments...));
  }
};

/// What the laws must know of a space; specialised in its folder:
///   static void make_small(SearchOptions& options): the space at its smallest, and the form of its mixed ops;
///   static LawOps ops_of(const Space::Genotype& genotype);
///   static std::vector<std::int64_t> columns(): of each matrix in which ops compete.
template <class Space>
struct LawSpace;

/// Sets an option of one of the method's policies, where there is such an option.
#define FLOWDARTS_SET_OPTION(options, role, member, value)                                 \
  if constexpr (requires { options.policies[boost::hana::type_c<roles::role>].member; }) { \
    options.policies[boost::hana::type_c<roles::role>].member = value;                     \
  }

template <class M, class Space>
LawOutcome run_search(const LawRun& how) {
  SearchOptions<M> options;
  options.run.out = how.out;
  options.run.epochs = how.epochs;
  options.run.batch_size = 10;
  options.run.threads = 1;
  options.run.loader_threads = how.loader_threads;
  options.run.keep_checkpoints = 1000;
  options.run.sync_bn = how.sync_bn;
  options.data.dataset = DatasetKind::cifar10;
  options.data.data = how.data;
  LawSpace<Space>::make_small(options);
  // Larger than a search would take them, so that a few steps move something.
  options.weights.lr = 0.1;
  options.alpha.lr = 0.05;
  FLOWDARTS_SET_OPTION(options, ArchRegularizer, slope, 5.0)
  FLOWDARTS_SET_OPTION(options, DataPruning, window, 2)
  FLOWDARTS_SET_OPTION(options, Relaxation, warm_up, 1)
  FLOWDARTS_SET_OPTION(options, Relaxation, partial, 2)
  FLOWDARTS_SET_OPTION(options, Shrinking, warm_up, 1)
  FLOWDARTS_SET_OPTION(options, Shrinking, steps, 2)
  FLOWDARTS_SET_OPTION(options, Shrinking, deeper, 1)
  if constexpr (std::is_same_v<typename M::Shrinking, ProgressiveStages>) {
    auto& stages = options.policies[boost::hana::type_c<roles::Shrinking>];
    stages.warm_up = how.epochs / 3 > 1 ? 1 : 0;
    stages.keep_first = 3;
    stages.keep_second = 2;
  }
  FLOWDARTS_SET_OPTION(options, Shrinking, interval, 1)
  FLOWDARTS_SET_OPTION(options, Importance, images, 20)
  FLOWDARTS_SET_OPTION(options, Stopping, unchanged, 2)
  if (how.measure_every >= 0) FLOWDARTS_SET_OPTION(options, Importance, every, how.measure_every)
  PassCounter::passes = 0;
  PassCounter::interrupt_at = how.interrupt_at;
  PassCounter::op_weights = {};
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> nowhere(std::fopen("/dev/null", "we"), &std::fclose);
  SearchGraph<M> search(options, how.resume, {}, "", std::make_shared<Terminal>(::fileno(nowhere.get())), how.ranks);
  const auto result = search.run();
  return {.finished = result.finished,
          .signal = result.signal,
          .genotype = result.genotype ? Space::to_text(*result.genotype) : "",
          .passes = PassCounter::passes,
          .op_weights = PassCounter::op_weights.value()};
}

/// M is a method over Counted<Space>.
template <class M, class Space>
LawCase case_of(std::string name, LawTraits traits) {
  return {.name = std::move(name),
          .traits = traits,
          .run = run_search<M, Space>,
          .reread = [](const std::string& text) { return Space::to_text(Space::from_text(text)); },
          .ops_of = [](const std::string& text) { return LawSpace<Space>::ops_of(Space::from_text(text)); },
          .columns = LawSpace<Space>::columns()};
}

}  // namespace flowdarts::testing
