// The laws of a search, on the real graph with the real stages: only the supernet is a tiny one that keeps a record.

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <algorithm>
#include <flowdarts/pipeline/run_directory/atomic_file.hpp>
#include <flowdarts/pipeline/run_directory/metrics.hpp>
#include <flowdarts/pipeline/search.hpp>
#include <flowdarts/policies/recipes.hpp>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>
#include <set>
#include <sstream>

#include "recording_space.hpp"
#include "run_directory/testing.hpp"

namespace flowdarts::testing {
namespace {

namespace fs = std::filesystem;
using Ids = std::vector<std::int64_t>;

/// Ranks by what all arch gradients were, decayed: state that every step changes.
struct GradientMemory {
  using role = roles::Importance;
  static constexpr const char* name = "GradientMemory";
  static constexpr auto provides = capabilities<>;
  static constexpr auto needs = capabilities<tags::alpha_grad>;
  using Options = NoOptions;

  explicit GradientMemory(const Options& = {}) {}
  void observe_arch_gradient(const ArchGradient& arch) {
    for (int op = 0; op < 2; ++op) memory_[op] = 0.9 * memory_[op] + arch.gradients[0][0][op].item<double>();
  }
  [[nodiscard]] std::vector<std::vector<double>> scores(const std::vector<torch::Tensor>&) const {
    return {{memory_[0], memory_[1]}};
  }
  void save(ByteWriter& writer) const {
    writer.put(memory_[0]);
    writer.put(memory_[1]);
  }
  void load(ByteReader& reader) {
    memory_[0] = reader.get<double>();
    memory_[1] = reader.get<double>();
  }

 private:
  double memory_[2]{};
};

/// Ranks the second op best in epochs 2 and 3, the first one in all others.
struct SecondInTheMiddle {
  using role = roles::Importance;
  static constexpr const char* name = "SecondInTheMiddle";
  static constexpr auto provides = capabilities<>;
  static constexpr auto needs = capabilities<>;
  using Options = NoOptions;

  explicit SecondInTheMiddle(const Options& = {}) {}
  void begin_epoch() { ++epoch_; }
  [[nodiscard]] std::vector<std::vector<double>> scores(const std::vector<torch::Tensor>&) const {
    return {{0.0, epoch_ == 2 || epoch_ == 3 ? 1.0 : -1.0}};
  }
  void save(ByteWriter& writer) const { writer.put(epoch_); }
  void load(ByteReader& reader) { epoch_ = reader.get<std::int64_t>(); }

 private:
  std::int64_t epoch_ = 0;
};

/// Ends the search after its third epoch; counts them itself.
struct ThreeEpochs {
  using role = roles::Stopping;
  static constexpr const char* name = "ThreeEpochs";
  static constexpr auto provides = capabilities<>;
  static constexpr auto needs = capabilities<>;
  using Options = NoOptions;

  explicit ThreeEpochs(const Options& = {}) {}
  bool should_stop(std::int64_t, const std::string&) { return ++asked_ == 3; }
  void save(ByteWriter& writer) const { writer.put(asked_); }
  void load(ByteReader& reader) { asked_ = reader.get<std::int64_t>(); }

 private:
  std::int64_t asked_ = 0;
};

using Darts = recipes::Darts<RecordingSpace>;
using DartsSecondOrder = recipes::DartsSecondOrder<RecordingSpace>;
using BdpDarts = recipes::BdpDarts<RecordingSpace>;
using Random = Method<RecordingSpace, RandomSubset>;
using El2n = Method<RecordingSpace, OneShotEl2n>;
using Stateful = Method<RecordingSpace, BilevelDataPruning, GradientMemory, ThreeEpochs>;

using Collapsing = Method<RecordingSpace, SecondInTheMiddle>;

/// Searches over 60 images, T and V of 30 (ids below 30, and from 30 on), 3 of each class.
class Search : public ::testing::Test {
 protected:
  void SetUp() override { write_numbered_images(folder_ / "cifar10", 60); }

  /// Batches of 10; a checkpoint is kept of every epoch.
  template <class M>
  [[nodiscard]] SearchOptions<M> options(const std::string& run, std::int64_t epochs) const {
    SearchOptions<M> options;
    options.run.out = (folder_ / run).string();
    options.run.epochs = epochs;
    options.run.batch_size = 10;
    options.run.threads = 1;
    options.run.loader_threads = 2;
    options.run.keep_checkpoints = 1000;
    options.data.dataset = DatasetKind::cifar10;
    options.data.data = (folder_ / "cifar10").string();
    options.data.padding = 0;
    // Larger than a search would take them, so that twenty steps move something.
    options.weights.lr = 0.5;
    options.alpha.lr = 0.1;
    if constexpr (std::is_same_v<typename M::DataPruning, BilevelDataPruning>) {
      auto& pruning = options.policies[boost::hana::type_c<roles::DataPruning>];
      pruning.window = 2;
      pruning.ratio_train = 0.2;
      pruning.ratio_val = 0.2;
    }
    if constexpr (std::is_same_v<typename M::DataPruning, OneShotEl2n>) {
      auto& pruning = options.policies[boost::hana::type_c<roles::DataPruning>];
      pruning.runs = 1;
      pruning.score_epochs = 1;
    }
    return options;
  }

  /// Runs a search; `recorder_` then holds its passes.
  template <class M>
  typename SearchGraph<M>::Result run(const SearchOptions<M>& options, bool resume = false,
                                      std::size_t interrupt_at = Recorder::no_pass,
                                      std::size_t poison_at = Recorder::no_pass) {
    recorder_ = {.passes = {}, .interrupt_at = interrupt_at, .poison_at = poison_at};
    Recorder::current = &recorder_;
    const std::unique_ptr<std::FILE, int (*)(std::FILE*)> nowhere(std::fopen("/dev/null", "we"), &std::fclose);
    SearchGraph<M> search(options, resume, {}, "", std::make_shared<Terminal>(::fileno(nowhere.get())));
    return search.run();
  }

  [[nodiscard]] std::vector<fs::path> checkpoints(const std::string& run) const {
    std::vector<fs::path> files;
    for (const auto& entry : fs::directory_iterator(folder_ / run / "checkpoints")) files.push_back(entry.path());
    std::ranges::sort(files);
    return files;
  }

  [[nodiscard]] SearchState state_after(const std::string& run, std::size_t epoch) const {
    const fs::path file = checkpoints(run).at(epoch);
    return get_state(Checkpoint::parse(read_file(file), file.string()));
  }

  [[nodiscard]] std::vector<std::byte> last_checkpoint(const std::string& run) const {
    return read_file(checkpoints(run).back());
  }

  /// The ids that T's, or V's, updates saw, in order.
  [[nodiscard]] Ids visited(bool val) const {
    Ids ids;
    for (const Pass& pass : recorder_.passes) {
      if (pass.trains_alpha == val && pass.moves_statistics) ids.insert(ids.end(), pass.ids.begin(), pass.ids.end());
    }
    return ids;
  }

  TemporaryFolder folder_;
  Recorder recorder_;
};

Ids sorted(std::span<const std::int64_t> ids) {
  Ids result(ids.begin(), ids.end());
  std::ranges::sort(result);
  return result;
}

Ids range(std::int64_t begin, std::int64_t end) {
  Ids ids(static_cast<std::size_t>(end - begin));
  std::iota(ids.begin(), ids.end(), begin);
  return ids;
}

TEST_F(Search, TakesAnArchStepThenAWeightStepOnWhatItLeft) {
  run<Darts>(options<Darts>("run", 3));
  ASSERT_EQ(recorder_.passes.size(), 18U);
  for (std::size_t step = 0; step < 9; ++step) {
    SCOPED_TRACE("step " + std::to_string(step));
    const Pass& arch = recorder_.passes[2 * step];
    const Pass& weight = recorder_.passes[2 * step + 1];
    EXPECT_TRUE(arch.trains_alpha);
    EXPECT_FALSE(weight.trains_alpha);
    EXPECT_EQ(arch.weights, weight.weights) << "the arch step moved w";
    EXPECT_NE(arch.op_weights, weight.op_weights) << "w is trained with alpha as it was before the arch step";
    if (step == 8) break;
    const Pass& next = recorder_.passes[2 * step + 2];
    EXPECT_EQ(next.op_weights, weight.op_weights) << "the weight step moved alpha";
    EXPECT_NE(next.weights, weight.weights);
    EXPECT_NE(next.statistics, weight.statistics);
    EXPECT_NE(weight.statistics, arch.statistics);
  }
}

// 33 images of T in 4 steps an epoch, 27 of V in 3 batches a pass: 9 epochs are 12 passes.
TEST_F(Search, SeesEachTrainSampleOnceAnEpochAndEachValSampleOnceAPass) {
  auto o = options<Darts>("run", 9);
  o.data.train_portion = 0.55;
  run<Darts>(o);
  const Ids train = visited(false), val = visited(true);
  ASSERT_EQ(train.size(), 9U * 33);
  ASSERT_EQ(val.size(), 12U * 27);
  std::set<Ids> orders;
  for (std::size_t epoch = 0; epoch < 9; ++epoch) {
    const auto ids = std::span(train).subspan(epoch * 33, 33);
    EXPECT_EQ(sorted(ids), range(0, 33)) << "epoch " << epoch;
    orders.emplace(ids.begin(), ids.end());
  }
  for (std::size_t pass = 0; pass < 12; ++pass) {
    const auto ids = std::span(val).subspan(pass * 27, 27);
    EXPECT_EQ(sorted(ids), range(33, 60)) << "pass " << pass;
    orders.emplace(ids.begin(), ids.end());
  }
  EXPECT_EQ(orders.size(), 21U) << "two of the orders are the same";
}

TEST_F(Search, NeverSeesARemovedSampleAgain) {
  constexpr std::size_t epochs = 11;
  auto o = options<BdpDarts>("run", epochs);
  auto& pruning = o.policies[boost::hana::type_c<roles::DataPruning>];
  pruning.ratio_val = 0.3;
  pruning.balance = false;  // the caps of so small classes would soon be 0
  const auto result = run<BdpDarts>(o);
  const Ids train = visited(false), val = visited(true);

  PerSplit<Ids> lists{range(0, 30), range(30, 60)};
  std::size_t train_at = 0, val_at = 0;
  Ids pass;  // of V, under way
  for (std::size_t epoch = 0; epoch < epochs; ++epoch) {
    SCOPED_TRACE("epoch " + std::to_string(epoch + 1));
    ASSERT_LE(train_at + lists.train.size(), train.size());
    EXPECT_EQ(sorted(std::span(train).subspan(train_at, lists.train.size())), lists.train);
    train_at += lists.train.size();
    const std::size_t steps = (lists.train.size() + 9) / 10;
    for (std::size_t step = 0; step < steps; ++step) {
      const std::size_t size = std::min<std::size_t>(10, lists.val.size() - pass.size());
      ASSERT_LE(val_at + size, val.size());
      pass.insert(pass.end(), val.begin() + static_cast<std::ptrdiff_t>(val_at),
                  val.begin() + static_cast<std::ptrdiff_t>(val_at + size));
      val_at += size;
      EXPECT_TRUE(std::ranges::includes(lists.val, sorted(pass))) << "twice in a pass, or not of V";
      if (pass.size() == lists.val.size()) pass.clear();
    }
    const SearchState state = state_after("run", epoch);
    const bool event = (epoch + 1) % 2 == 0;
    for (const Split split : all_splits) {
      EXPECT_TRUE(std::ranges::includes(lists[split], (*state.lists)[split]));
      EXPECT_EQ((*state.lists)[split].size() < lists[split].size(), event) << name_of(split);
      lists[split] = (*state.lists)[split];
    }
    if (event) pass.clear();
  }
  EXPECT_EQ(train_at, train.size());
  EXPECT_EQ(val_at, val.size());
  EXPECT_EQ(result.samples, (PerSplit<std::int64_t>{static_cast<std::int64_t>(lists.train.size()),
                                                    static_cast<std::int64_t>(lists.val.size())}));
}

/// The window of one sample, from the observations of each of its epochs.
struct Window {
  std::uint32_t epochs = 0;
  double mean = 0, m2 = 0;
};
Window window_of(const std::vector<std::vector<double>>& observations_by_epoch) {
  std::vector<double> values;
  for (const auto& observations : observations_by_epoch) {
    if (observations.empty()) continue;
    values.push_back(std::accumulate(observations.begin(), observations.end(), 0.0) /
                     static_cast<double>(observations.size()));
  }
  Window window{.epochs = static_cast<std::uint32_t>(values.size())};
  for (const double value : values) window.mean += value / static_cast<double>(values.size());
  for (const double value : values) window.m2 += (value - window.mean) * (value - window.mean);
  return window;
}

// V's pass ends in mid-epoch: some of its samples are seen twice an epoch, others not at all.
TEST_F(Search, RemembersTheErrorsOfTheUpdatesOwnPasses) {
  auto o = options<BdpDarts>("run", 5);
  o.data.train_portion = 0.55;
  o.policies[boost::hana::type_c<roles::DataPruning>].window = 5;
  run<BdpDarts>(o);
  ASSERT_EQ(recorder_.passes.size(), 5U * 4 * 2);
  std::map<std::int64_t, std::vector<std::vector<double>>> seen;
  for (std::size_t epoch = 0; epoch < 5; ++epoch) {
    for (std::size_t pass = epoch * 8; pass < epoch * 8 + 8; ++pass) {
      const Pass& p = recorder_.passes[pass];
      for (std::size_t i = 0; i < p.ids.size(); ++i) {
        auto& sample = seen[p.ids[i]];
        sample.resize(5);
        sample[epoch].push_back(p.errors[i]);
      }
    }
    const SearchState state = state_after("run", epoch);
    for (const Split split : all_splits) {
      ASSERT_TRUE(state.histories[split]);
      const ErrorHistory::State& history = state.histories[split]->state();
      EXPECT_EQ(history.ids, split == Split::train ? range(0, 33) : range(33, 60));
      for (std::size_t i = 0; i < history.ids.size(); ++i) {
        const Window expected = window_of(seen[history.ids[i]]);
        EXPECT_EQ(history.epochs[i], expected.epochs) << "sample " << history.ids[i];
        EXPECT_NEAR(history.mean[i], expected.mean, 1e-6) << "sample " << history.ids[i];
        EXPECT_NEAR(history.m2[i], expected.m2, 1e-6) << "sample " << history.ids[i];
        EXPECT_EQ(history.epoch_visits[i], 0U);
      }
    }
  }
}

TEST_F(Search, SecondOrderRecordsAndMovesStatisticsOnceASplitAStep) {
  run<DartsSecondOrder>(options<DartsSecondOrder>("run", 2));
  const Ids train = visited(false), val = visited(true);
  std::map<std::string, int> kinds;
  for (const Pass& pass : recorder_.passes) {
    ++kinds[std::string(pass.ids.front() < 30 ? "T" : "V") + (pass.moves_statistics ? " moves" : " only looks")];
  }
  // A step: T at w, V at w', T at w+ and w-, then the weight step's T.
  EXPECT_EQ(kinds, (std::map<std::string, int>{{"T moves", 6}, {"T only looks", 18}, {"V moves", 6}}));
  EXPECT_EQ(sorted(std::span(train).first(30)), range(0, 30));
  EXPECT_EQ(sorted(std::span(val).first(30)), range(30, 60));
  // The weights that the arch step tries out are not those it leaves.
  for (std::size_t step = 0; step < 6; ++step) {
    EXPECT_EQ(recorder_.passes[5 * step].weights, recorder_.passes[5 * step + 4].weights);
    EXPECT_NE(recorder_.passes[5 * step].weights, recorder_.passes[5 * step + 1].weights);
  }
}

TEST_F(Search, MeasuringTheHessianLeavesNoTrace) {
  run<BdpDarts>(options<BdpDarts>("plain", 5));
  const std::vector<Pass> plain = recorder_.passes;
  auto o = options<BdpDarts>("measured", 5);
  o.run.hessian_every = 1;
  run<BdpDarts>(o);
  std::vector<Pass> updates;
  std::size_t measurements = 0;
  for (std::size_t i = 0; i < recorder_.passes.size(); ++i) {
    const Pass& pass = recorder_.passes[i];
    if (pass.moves_statistics) {
      updates.push_back(pass);
      continue;
    }
    ++measurements;
    EXPECT_GE(*std::ranges::min_element(pass.ids), 30) << "not a batch of V";
    EXPECT_EQ(pass.weights, recorder_.passes[i - 1].moves_statistics ? pass.weights : recorder_.passes[i - 1].weights);
  }
  EXPECT_EQ(measurements, 5U * 4) << "two differences for each of two alphas";
  ASSERT_EQ(updates.size(), plain.size());
  for (std::size_t i = 0; i < plain.size(); ++i) {
    EXPECT_EQ(updates[i].ids, plain[i].ids);
    EXPECT_EQ(updates[i].errors, plain[i].errors);
    EXPECT_EQ(updates[i].weights, plain[i].weights);
    EXPECT_EQ(updates[i].statistics, plain[i].statistics);
    EXPECT_EQ(updates[i].op_weights, plain[i].op_weights);
  }
  EXPECT_EQ(last_checkpoint("measured"), last_checkpoint("plain"));
  for (const auto& row : read_metrics(folder_ / "measured/metrics.jsonl")) {
    EXPECT_TRUE(std::isfinite(row.at("hessian").at("dominant").get<double>()));
  }
}

TEST_F(Search, APolicyThatStopsItEndsItForGood) {
  const auto o = options<Stateful>("run", 10);
  const auto result = run<Stateful>(o);
  EXPECT_TRUE(result.finished);
  EXPECT_EQ(result.epochs, 3);
  EXPECT_EQ(checkpoints("run").size(), 3U);
  const auto again = run<Stateful>(o, /*resume=*/true);
  EXPECT_TRUE(again.finished);
  EXPECT_EQ(again.genotype, result.genotype);
  EXPECT_TRUE(recorder_.passes.empty());
}

TEST_F(Search, ALossThatIsNotFiniteIsNamedByItsStep) {
  auto o = options<BdpDarts>("run", 4);
  o.policies[boost::hana::type_c<roles::DataPruning>].window = 1;
  const auto message = [&](std::size_t pass) {
    fs::remove_all(folder_ / "run");
    return message_of<RunError>([&] { run<BdpDarts>(o, false, Recorder::no_pass, pass); });
  };
  EXPECT_THAT(message(0), ::testing::HasSubstr("the loss is nan in the arch step of epoch 1, step 1;"));
  EXPECT_THAT(message(0), ::testing::EndsWith("last good checkpoint: none"));
  EXPECT_THAT(message(3), ::testing::HasSubstr("the loss is nan in the weight step of epoch 1, step 2;"));
  const std::string later = message(10);
  EXPECT_THAT(later, ::testing::HasSubstr("the loss is nan in the arch step of epoch 2, step 3;"));
  EXPECT_THAT(later, ::testing::HasSubstr("none of alpha, weights and statistics"));
  EXPECT_THAT(later, ::testing::EndsWith("last good checkpoint: " + checkpoints("run").at(0).string()));
  EXPECT_EQ(checkpoints("run").size(), 1U);
}

TEST_F(Search, WithoutASampleIsRefused) {
  auto o = options<Random>("run", 4);
  o.policies[boost::hana::type_c<roles::DataPruning>].keep_train = 0.01;
  EXPECT_THAT(message_of<InputError>([&] { run<Random>(o); }),
              ::testing::HasSubstr("leaves no sample of train, expected at least one of its 30"));
}

template <class M>
class EverySearch : public Search {};
using Methods = ::testing::Types<Darts, DartsSecondOrder, BdpDarts, Random, El2n, Stateful>;
TYPED_TEST_SUITE(EverySearch, Methods);

// A signal in the first pass of every other step of a search, in the last pass of the others; then --resume.
TYPED_TEST(EverySearch, InterruptedInAnyStepResumesBitForBit) {
  const auto whole = this->template options<TypeParam>("whole", 5);
  const auto expected = this->template run<TypeParam>(whole);
  const std::size_t passes = this->recorder_.passes.size();
  ASSERT_GE(passes, 18U);
  auto rows = read_metrics(this->folder_ / "whole/metrics.jsonl");
  const auto timeless = [](std::vector<nlohmann::ordered_json> all) {
    for (auto& row : all) {
      row.erase("seconds");
      row.erase("images_per_second");
    }
    return all;
  };
  std::size_t interrupted = 0;
  const std::size_t passes_of_step = std::is_same_v<typename TypeParam::Bilevel, SecondOrder> ? 5 : 2;
  for (std::size_t step = 0; step < passes / passes_of_step; ++step) {
    SCOPED_TRACE("step " + std::to_string(step));
    const std::size_t pass = step * passes_of_step + (step % 2 == 0 ? 0 : passes_of_step - 1);
    const std::string name = "run" + std::to_string(step);
    const auto o = this->template options<TypeParam>(name, 5);
    const auto first = this->template run<TypeParam>(o, false, pass);
    EXPECT_EQ(first.signal, SIGTERM);
    EXPECT_EQ(this->recorder_.passes.size(), (step + 1) * passes_of_step)
        << "the search went on after the signal's step";
    if (!first.finished) {
      ++interrupted;
      const std::size_t done = this->recorder_.passes.size();
      const auto second = this->template run<TypeParam>(o, true);
      EXPECT_TRUE(second.finished);
      EXPECT_EQ(done + this->recorder_.passes.size(), passes) << "a step was done twice or left out";
      EXPECT_EQ(second.samples, expected.samples);
    }
    EXPECT_EQ(this->checkpoints(name).back().filename(), this->checkpoints("whole").back().filename());
    EXPECT_EQ(this->last_checkpoint(name), this->last_checkpoint("whole"));
    EXPECT_EQ(timeless(read_metrics(this->folder_ / name / "metrics.jsonl")), timeless(rows));
    fs::remove_all(this->folder_ / name);
  }
  EXPECT_GE(interrupted, passes / passes_of_step / 2);
}

TYPED_TEST(EverySearch, DoesNotDependOnItsLoaderThreads) {
  std::vector<std::byte> expected;
  for (const std::int64_t threads : {1, 2, 4, 8}) {
    const std::string name = "threads" + std::to_string(threads);
    auto o = this->template options<TypeParam>(name, 5);
    o.run.loader_threads = threads;
    o.run.prefetch = 1 + threads;
    this->template run<TypeParam>(o);
    if (threads == 1) expected = this->last_checkpoint(name);
    EXPECT_EQ(this->last_checkpoint(name), expected) << threads << " threads";
  }
}

// The warning comes once, though the search is interrupted while the verdict holds.
TEST_F(Search, SaysWhenItsArchitectureCollapsesAndWhenItRecovers) {
  const auto options = this->options<Collapsing>("run", 5);
  EXPECT_EQ(run(options, false, 14).signal, SIGTERM) << "in the third epoch of six passes each";
  EXPECT_TRUE(run(options, true).finished);
  std::vector<bool> verdicts;
  for (const auto& row : read_metrics(folder_ / "run/metrics.jsonl")) {
    verdicts.push_back(row.at("collapse").at("collapsed").get<bool>());
    EXPECT_EQ(row.at("collapse").at("counts").at("second"), verdicts.back() ? 1 : 0);
  }
  EXPECT_EQ(verdicts, (std::vector<bool>{false, true, true, false, false}));
  const std::string log = read_text_file(folder_ / "run/log.txt");
  std::vector<std::string> said;
  std::istringstream lines(log);
  for (std::string line; std::getline(lines, line);) {
    if (line.find("collapse") != std::string::npos) said.push_back(line);
  }
  ASSERT_EQ(said.size(), 2U) << log;
  EXPECT_THAT(said[0],
              ::testing::HasSubstr(
                  "warning collapse: the architecture of epoch 2 has 1 of 1 ops without parameters (second 1)"));
  EXPECT_THAT(said[1],
              ::testing::HasSubstr(
                  "info  no collapse any more: the architecture of epoch 4 has 0 of 1 ops without parameters"));
}

}  // namespace
}  // namespace flowdarts::testing
