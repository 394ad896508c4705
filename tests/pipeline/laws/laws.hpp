#pragma once
// Any search behind one plain function, so that the laws are written and compiled once: a recipe costs one
// instantiation of the search and nothing more.

#include <flowdarts/pipeline/search.hpp>
#include <flowdarts/policies/recipes.hpp>
#include <flowdarts/spaces/nas_bench_201/space.hpp>

#include <signal.h>

#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace flowdarts::testing {

/// Counts the forward passes of the supernets there are, and raises SIGTERM in one of them.
struct PassCounter {
  static constexpr std::size_t never = std::numeric_limits<std::size_t>::max();
  static inline std::size_t passes = 0;
  static inline std::size_t interrupt_at = never;
};

class CountingSupernet : public Supernet {
 public:
  explicit CountingSupernet(std::shared_ptr<Supernet> inner) : inner_(register_module("inner", std::move(inner))) {}
  torch::Tensor forward(const torch::Tensor& images, const std::vector<torch::Tensor>& op_weights) override {
    if (PassCounter::passes++ == PassCounter::interrupt_at) ::raise(SIGTERM);
    return inner_->forward(images, op_weights);
  }
  [[nodiscard]] std::vector<ArchShape> arch_shapes() const override { return inner_->arch_shapes(); }
  void set_statistics_updates(bool enabled) override { inner_->set_statistics_updates(enabled); }
  void set_masks(const std::vector<torch::Tensor>& masks) override { inner_->set_masks(masks); }
  void set_skip_dropout(const SkipDropout& dropout) override { inner_->set_skip_dropout(dropout); }
  void set_output_observer(OutputObserver observer) override { inner_->set_output_observer(std::move(observer)); }

 private:
  std::shared_ptr<Supernet> inner_;
};

/// NAS-Bench-201 at its smallest, counted.
class LawSpace : public NasBench201 {
 public:
  using Options = NasBench201::Options;
  explicit LawSpace(const Options& options) : NasBench201(options) {}
  [[nodiscard]] static std::shared_ptr<Supernet> make_supernet(const nas_bench_201::SupernetSpec& spec, int image_size,
                                                               SupernetForm form) {
    return std::make_shared<CountingSupernet>(NasBench201::make_supernet(spec, image_size, form));
  }
};

/// How to run a search.
struct LawRun {
  std::string data;  ///< a CIFAR-10 directory
  std::string out;
  std::int64_t epochs = 4;
  std::int64_t loader_threads = 2;
  std::int64_t measure_every = -1;  ///< -1: as the policy has it
  bool resume = false;
  std::size_t interrupt_at = PassCounter::never;
};

struct LawOutcome {
  bool finished = false;
  int signal = 0;
  std::string genotype;
  std::size_t passes = 0;
};

struct LawCase {
  std::string name;
  std::function<LawOutcome(const LawRun&)> run;
  bool narrows = false;   ///< hard: ends with one op an edge
  bool drops = false;     ///< takes ops out, but reads the architecture off several an edge
  bool measures = false;  ///< for the record alone, where asked to
};

/// Sets an option of one of the method's policies, where there is such an option.
#define FLOWDARTS_SET_OPTION(options, role, member, value)                                 \
  if constexpr (requires { options.policies[boost::hana::type_c<roles::role>].member; }) { \
    options.policies[boost::hana::type_c<roles::role>].member = value;                     \
  }

template <class M>
LawOutcome run_search(const LawRun& how) {
  SearchOptions<M> options;
  options.run.out = how.out;
  options.run.epochs = how.epochs;
  options.run.batch_size = 10;
  options.run.threads = 1;
  options.run.loader_threads = how.loader_threads;
  options.run.keep_checkpoints = 1000;
  options.run.mixed_op = MixedOpForm::oracle;
  options.data.dataset = DatasetKind::cifar10;
  options.data.data = how.data;
  options.space.channels = 2;
  options.space.cells = 1;
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
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> nowhere(std::fopen("/dev/null", "we"), &std::fclose);
  SearchGraph<M> search(options, how.resume, {}, "", std::make_shared<Terminal>(::fileno(nowhere.get())));
  const auto result = search.run();
  return {.finished = result.finished,
          .signal = result.signal,
          .genotype = result.genotype ? LawSpace::to_text(*result.genotype) : "",
          .passes = PassCounter::passes};
}

/// The cases, by file.
std::vector<LawCase> darts_cases();
std::vector<LawCase> ostr_cases();
std::vector<LawCase> vp_cases();
std::vector<LawCase> is_cases();

}  // namespace flowdarts::testing
