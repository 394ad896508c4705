#include <flowdarts/pipeline/device.hpp>
#include <flowdarts/pipeline/flow_graph.hpp>
#include <flowdarts/pipeline/run_directory/signals.hpp>
#include <flowdarts/pipeline/search_data.hpp>
#include <flowdarts/pipeline/tensor_state.hpp>
#include <flowdarts/pipeline/training/evaluation.hpp>
#include <flowdarts/pipeline/training/loss.hpp>
#include <flowdarts/pipeline/training/schedule.hpp>
#include <flowdarts/pipeline/training/training.hpp>
#include <flowdarts/pipeline/training/training_output.hpp>
#include <flowdarts/pipeline/training/weight_average.hpp>
#include <flowdarts/spaces/initialise.hpp>
#include <flowdarts/spaces/support/error.hpp>
#include <flowdarts/spaces/support/random.hpp>
#include <flowdarts/stages/load/pinned_memory.hpp>
#include <flowdarts/stages/weight_step/batch_results.hpp>
#include <flowdarts/stages/weight_step/device_batch.hpp>
#include <flowdarts/stages/weight_step/rmsprop.hpp>
#include <flowdarts/stages/weight_step/sgd.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <deque>
#include <nlohmann/json.hpp>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

namespace flowdarts {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// Where a training goes on, as checkpoints hold it beside its tensors.
struct TrainingState {
  std::int64_t epoch = 0;  ///< completed epochs
  std::int64_t step = 0;   ///< completed steps of the next epoch; > 0 only after an interruption
  EpochSums sums;          ///< of those; times are not kept
  TestResult test;         ///< of the last completed epoch
  std::int64_t best_correct = 0, best_epoch = 0;
};

void put(CheckpointWriter& writer, const TrainingState& state) {
  ByteWriter bytes;
  bytes.put(state.epoch);
  bytes.put(state.step);
  bytes.put(state.sums.loss.train);
  bytes.put(state.sums.correct.train);
  bytes.put(state.sums.samples.train);
  bytes.put(state.test.loss);
  bytes.put(state.test.correct);
  bytes.put(state.test.in_top5);
  bytes.put(state.test.images);
  bytes.put(state.best_correct);
  bytes.put(state.best_epoch);
  writer.add("position", bytes);
}

TrainingState get_state(const Checkpoint& checkpoint) {
  TrainingState state;
  ByteReader bytes = checkpoint.section("position");
  state.epoch = bytes.get<std::int64_t>();
  state.step = bytes.get<std::int64_t>();
  state.sums.loss.train = bytes.get<double>();
  state.sums.correct.train = bytes.get<std::int64_t>();
  state.sums.samples.train = bytes.get<std::int64_t>();
  state.test.loss = bytes.get<double>();
  state.test.correct = bytes.get<std::int64_t>();
  state.test.in_top5 = bytes.get<std::int64_t>();
  state.test.images = bytes.get<std::int64_t>();
  state.best_correct = bytes.get<std::int64_t>();
  state.best_epoch = bytes.get<std::int64_t>();
  bytes.expect_end();
  return state;
}

using Optimizer = std::variant<Sgd, RmsProp>;

Optimizer make_optimizer(std::vector<torch::Tensor> weights, const OptimizerOptions& options) {
  if (options.optimizer.value == OptimizerKind::rmsprop) {
    return RmsProp(std::move(weights), {.momentum = options.momentum,
                                        .weight_decay = options.weight_decay,
                                        .decay = options.rms_decay,
                                        .epsilon = options.rms_epsilon,
                                        .clip = options.clip});
  }
  WeightOptions sgd;
  sgd.momentum = options.momentum;
  sgd.nesterov = options.nesterov;
  sgd.weight_decay = options.weight_decay;
  sgd.clip = options.clip;
  return Sgd(std::move(weights), sgd);
}

class Training {
 public:
  Training(const TrainOptions& options, const TrainingSetup& setup, bool resume, Identity identity,
           const std::string& config, std::shared_ptr<Terminal> terminal)
      : options_(options),
        setup_(setup),
        space_(space_of(setup.network.architecture)),
        device_(open_device(device_options(options.run))),
        identity_(std::move(identity)),
        output_(options.run, resume, std::move(terminal)),
        store_(output_.directory().checkpoints(), static_cast<std::size_t>(options.run.keep_checkpoints.value)),
        loader_(setup.train, augment_options(options.data), seed(), warn_of("skipped: "), memory(), form()),
        test_loader_(setup.test, {.padding = 0, .filter = options.data.resize.value}, seed(),
                     warn_of("skipped of the test images: "), memory(), form()) {
    identity_.emplace_back("data set", std::to_string(setup.train->fingerprint()));
    identity_.emplace_back("test data", std::to_string(setup.test->fingerprint()));
    lists_ = std::make_shared<const SampleLists>(SampleLists{.train = setup.ids, .val = {}});
    if (resume) load_checkpoint();
    // Only now: a run keeps its own until the training has agreed to go on. And first of all files: a directory without
    // its configuration is no run yet.
    output_.directory().write_text("config.toml", config);
    output_.directory().write_text("genotype.json", to_json(setup.network.architecture));
    output_.directory().write_text("genotype.dot", to_dot(setup.network.architecture));
  }

  TrainingSummary run() {
    const StopSignals signals;
    const auto start = Clock::now();
    share_threads();
    output_.info(std::to_string(setup_.ids.size()) + " training and " + std::to_string(setup_.test->size()) +
                 " test images of " + std::to_string(setup_.train->classes()) + " classes; " +
                 std::to_string(compute_threads_) + " threads, " + std::to_string(loader_threads_) + " of them load");
    if (state_.epoch < epochs() && signals.requested() == 0) {
      output_.begin(state_.epoch, state_.sums.samples.train);
      sums_ = state_.sums;
      try {
        run_flow_graph(bodies(signals), graph_settings(options_.run, loader_threads_),
                       {state_.epoch, state_.step, lists_, {}}, [this] { with_plain_errors([&] { open_tensors(); }); });
      } catch (const std::exception& error) {
        output_.fail(error.what());
        throw;
      }
      output_.finish();
    }
    TrainingSummary summary{.finished = state_.epoch == epochs(),
                            .signal = signals.requested(),
                            .epochs = state_.epoch,
                            .accuracy = state_.test.accuracy(),
                            .best_accuracy = fraction(state_.best_correct),
                            .best_epoch = state_.best_epoch,
                            .counts = count_network(setup_.network)};
    if (setup_.train->classes() > 5) summary.top5 = state_.test.top5();
    summary.seconds = seconds_since(start);
    if (summary.finished) {
      write_result(summary);
    } else {
      output_.interrupted(state_.epoch, state_.step);
    }
    return summary;
  }

 private:
  struct Unchecked {
    std::shared_ptr<const DeviceResults> results;
    std::int64_t epoch, step;
  };

  [[nodiscard]] std::uint64_t seed() const { return static_cast<std::uint64_t>(options_.run.seed.value); }
  [[nodiscard]] std::int64_t epochs() const { return options_.run.epochs; }
  [[nodiscard]] std::pmr::memory_resource* memory() {
    return device_.is_cuda() ? static_cast<std::pmr::memory_resource*>(&pinned_) : std::pmr::new_delete_resource();
  }
  [[nodiscard]] BatchForm form() const { return device_.is_cuda() ? BatchForm::pixels : BatchForm::images; }
  OnCorrupt warn_of(const std::string& what) {
    return [this, what](const std::string& line) { output_.warn(what + line); };
  }
  [[nodiscard]] double fraction(std::int64_t correct) const {
    return state_.test.images > 0 ? static_cast<double>(correct) / static_cast<double>(state_.test.images) : 0.0;
  }

  /// As searches share them: on a CPU LibTorch has all cores, on a GPU the loaders do.
  void share_threads() {
    const int cores = options_.run.threads > 0 ? static_cast<int>(options_.run.threads)
                                               : static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
    compute_threads_ = device_.is_cpu() ? cores : 1;
    loader_threads_ = device_.is_cpu() ? std::max(1, cores / 4) : cores;
    if (options_.run.loader_threads > 0) loader_threads_ = static_cast<int>(options_.run.loader_threads);
    at::set_num_threads(compute_threads_);
  }

  // ---- On the device executor's thread ----

  void open_tensors() {
    at::set_num_threads(compute_threads_);
    at::init_num_threads();
    network_.emplace(setup_.network);
    initialise(network_->module(), seed());
    network_->module().to(device_);
    to_channels_last(network_->module());
    optimizer_.emplace(make_optimizer(network_->module().parameters(), options_.optimizer));
    if (const double decay = options_.regularisation.average_decay; decay > 0) {
      average_.emplace(setup_.network, *network_, decay);
    }
    if (!checkpoint_) return;
    for (const auto& [name, tensors] : tensors()) {
      ByteReader reader = checkpoint_->section(name);
      restore_tensors(tensors, reader.get_raw(reader.remaining()), "checkpoint section " + name);
    }
    checkpoint_.reset();
  }

  /// All that is trained, as sections of a checkpoint.
  [[nodiscard]] std::vector<std::pair<std::string, std::vector<torch::Tensor>>> tensors() const {
    std::vector<std::pair<std::string, std::vector<torch::Tensor>>> sections{
        {"weights", network_->module().parameters()}, {"statistics", network_->module().buffers()}};
    std::visit([&](const auto& optimizer) { sections.emplace_back("momentum", optimizer.momentum()); }, *optimizer_);
    if (const auto* rmsprop = std::get_if<RmsProp>(&*optimizer_)) sections.emplace_back("squares", rmsprop->squares());
    if (average_) {
      sections.emplace_back("averaged weights", average_->network().module().parameters());
      sections.emplace_back("averaged statistics", average_->network().module().buffers());
    }
    return sections;
  }

  StepReport step(StepInput&& input) {
    StepReport report;
    // A batch norm has nothing to normalise in a single image, which is what may be left at an epoch's end.
    if (input.train.ids.size() < 2) return report;
    const auto start = Clock::now();
    const std::int64_t epoch = input.plan->epoch();
    const DeviceBatch batch = to_device(input.train, device_);
    const RegularisationOptions& regularisation = options_.regularisation;
    CounterRng noise(seed(), Stream::noise, 0, static_cast<std::uint32_t>(epoch),
                     static_cast<std::uint64_t>(input.step));
    network_->module().train();
    const StandAloneOutput output = network_->forward(
        batch.images, {.path = drop_path_probability(regularisation.drop_path, space_, epoch, epochs()),
                       .features = regularisation.dropout,
                       .seed = noise.bits64()});
    const torch::Tensor loss =
        training_loss(output, batch.labels, regularisation.label_smoothing, regularisation.auxiliary_weight);
    report.train =
        SplitReport{std::move(input.train.ids), copy_to_host(pack_results(loss, output.logits, batch.labels))};
    // On a GPU the results are looked at once they have arrived, so that nothing waits for them.
    unchecked_.push_back({report.train->results, epoch, input.step});
    check_losses(/*wait=*/false);
    const double lr = learning_rate(options_.schedule, epoch, epochs(), options_.run.batch_size);
    std::visit(
        [&](auto& optimizer) {
          optimizer.step(torch::autograd::grad({loss}, optimizer.weights(), {}, /*retain_graph=*/false,
                                               /*create_graph=*/false, /*allow_unused=*/true),
                         lr);
        },
        *optimizer_);
    if (average_) average_->update(*network_);
    report.weight_seconds = seconds_since(start);
    return report;
  }

  /// `wait`: also for those that are still on their way from a GPU.
  void check_losses(bool wait) {
    while (!unchecked_.empty() && (wait || !is_pending(*unchecked_.front().results))) {
      const Unchecked check = unchecked_.front();
      unchecked_.pop_front();
      const double loss = check.results->loss();
      if (std::isfinite(loss)) continue;
      refuse(std::string("the loss is ") + (std::isnan(loss) ? "nan" : "infinite") + " in epoch " +
             std::to_string(check.epoch + 1) + ", step " + std::to_string(check.step + 1));
    }
  }

  [[noreturn]] void refuse(const std::string& what) const {
    std::string culprit = first_non_finite();
    if (culprit.empty()) culprit = "none of weights and statistics; the logits overflowed";
    const auto checkpoints = store_.list();
    throw RunError(what + "; first tensor that is not finite: " + culprit +
                   "; last good checkpoint: " + (checkpoints.empty() ? "none" : checkpoints.back().path.string()));
  }

  [[nodiscard]] std::string first_non_finite() const {
    std::vector<std::pair<std::string, torch::Tensor>> named;
    for (const auto& weight : network_->module().named_parameters())
      named.emplace_back("weight " + weight.key(), weight.value());
    for (const auto& statistic : network_->module().named_buffers())
      named.emplace_back("statistic " + statistic.key(), statistic.value());
    return flowdarts::first_non_finite(named);
  }

  EpochReport end_epoch(const EpochPlan& plan) {
    check_losses(/*wait=*/true);
    // The losses tell of every update but the last.
    if (!first_non_finite().empty()) {
      refuse("the last update of epoch " + std::to_string(plan.epoch() + 1) + " overflowed");
    }
    const auto start = Clock::now();
    const TestResult test = evaluate(average_ ? average_->network() : *network_, test_loader_, setup_.test->size(),
                                     options_.run.batch_size, loader_threads_, device_);
    auto sections = std::make_shared<Snapshot>(*snapshot());
    {
      const std::lock_guard lock(tests_mutex_);
      tests_.push_back({test, seconds_since(start)});
    }
    return {.snapshot = std::move(sections)};
  }

  std::shared_ptr<const Snapshot> snapshot() {
    check_losses(/*wait=*/true);  // no checkpoint of what a broken loss has spread
    auto sections = std::make_shared<Snapshot>();
    for (const auto& [name, values] : tensors()) sections->emplace_back(name, tensor_bytes(values));
    return sections;
  }

  // ---- In the graph's other nodes ----

  GraphBodies bodies(const StopSignals& signals) {
    GraphBodies bodies;
    bodies.plan = [this](const PlanRequest& request) {
      return plan_epoch(request, options_.run.batch_size, seed(), /*with_val=*/false,
                        {setup_.train->shards(), options_.data.shuffle_buffer});
    };
    if (loader_.reads()) bodies.read = [this](std::int64_t sample) { return loader_.read(sample); };
    bodies.decode = [this](const BatchPlan& plan, const EncodedBatch& encoded) {
      return loader_.decode(plan, encoded);
    };
    bodies.step = [this](StepInput&& input) { return with_plain_errors([&] { return step(std::move(input)); }); };
    bodies.end_epoch = [this](const auto& plan) { return with_plain_errors([&] { return end_epoch(*plan); }); };
    bodies.snapshot = [this] { return with_plain_errors([&] { return snapshot(); }); };
    bodies.accumulate = [this](const StepReport& report) { accumulate(report); };
    bodies.plan_ahead = [this](const EpochPlan& plan) -> std::optional<PlanRequest> {
      if (plan.epoch() + 1 == epochs()) return std::nullopt;
      return PlanRequest{plan.epoch() + 1, 0, lists_, {}};
    };
    bodies.close_epoch = [this](const auto& plan) {
      return EpochClose{.plan = plan, .sums = std::exchange(sums_, {})};
    };
    bodies.prune = [](Split, const EpochClose&) { return PruneReport{}; };
    bodies.finish_epoch = [this](const auto& close, const auto& /*pruned*/, const auto& report) {
      finish_epoch(close, *report.snapshot);
      return std::optional<PlanRequest>();
    };
    bodies.interrupt = [this](Interruption& interruption) { interruption.sums = sums_; };
    bodies.save_interruption = [this](const Interruption& interruption) {
      TrainingState next = state_;
      next.step = interruption.step;
      next.sums = interruption.sums;
      save_checkpoint(next, *interruption.snapshot);
    };
    bodies.stop_requested = [&signals] { return signals.requested() != 0; };
    return bodies;
  }

  void accumulate(const StepReport& report) {
    if (report.train && std::isfinite(report.train->results->loss())) {
      const auto count = static_cast<std::int64_t>(report.train->ids.size());
      sums_.loss.train += report.train->results->loss() * static_cast<double>(count);
      sums_.correct.train += report.train->results->correct();
      sums_.samples.train += count;
    }
    sums_.weight_seconds += report.weight_seconds;
    sums_.waited_seconds += report.waited_seconds;
    sums_.read_seconds += report.read_seconds;
    sums_.load_seconds += report.load_seconds;
    output_.step(report, sums_, epochs());
  }

  void finish_epoch(const EpochClose& close, const Snapshot& snapshot) {
    const std::int64_t epoch = close.plan->epoch();
    const auto [test, seconds] = next_test();
    TrainingState next{
        .epoch = epoch + 1, .test = test, .best_correct = state_.best_correct, .best_epoch = state_.best_epoch};
    if (next.best_epoch == 0 || test.correct > next.best_correct) {
      next.best_correct = test.correct;
      next.best_epoch = next.epoch;
    }
    TrainedEpoch record{.number = epoch + 1,
                        .epochs = epochs(),
                        .steps = close.plan->steps(),
                        .lr = learning_rate(options_.schedule, epoch, epochs(), options_.run.batch_size),
                        .sums = close.sums,
                        .test_loss = test.loss,
                        .test_accuracy = test.accuracy(),
                        .test_seconds = seconds,
                        .skipped = loader_.skipped() + test_loader_.skipped()};
    if (setup_.train->classes() > 5) record.test_top5 = test.top5();
    output_.epoch(record);
    save_checkpoint(next, snapshot);
  }

  /// Of the epoch that finishes: epochs finish in the order in which they were tested.
  std::pair<TestResult, double> next_test() {
    const std::lock_guard lock(tests_mutex_);
    const auto test = tests_.front();
    tests_.pop_front();
    return test;
  }

  void save_checkpoint(const TrainingState& state, const Snapshot& snapshot) {
    CheckpointWriter writer(identity_);
    ByteWriter network;
    network.put_string(to_json(setup_.network));
    writer.add("network", network);
    put(writer, state);
    for (const auto& [name, bytes] : snapshot) writer.add(name, bytes);
    store_.save(state.epoch, state.step, std::move(writer).finish());
    state_ = state;
  }

  /// Where the run was killed before its first checkpoint, it starts from the beginning.
  void load_checkpoint() {
    if (store_.list().empty()) return output_.info("no checkpoint yet: the training starts from its beginning");
    CheckpointStore::Loaded loaded = store_.load_newest();
    for (const auto& damaged : loaded.damaged) output_.warn(damaged.reason + "; using the one before it");
    require_same_identity(loaded.checkpoint.identity(), identity_, loaded.entry.path.string());
    state_ = get_state(loaded.checkpoint);
    output_.info("continuing after epoch " + std::to_string(state_.epoch) + ", step " + std::to_string(state_.step) +
                 " (" + loaded.entry.path.string() + ")");
    checkpoint_.emplace(std::move(loaded.checkpoint));
  }

  void write_result(const TrainingSummary& summary) {
    nlohmann::ordered_json test{
        {"images", state_.test.images}, {"loss", state_.test.loss}, {"accuracy", summary.accuracy}};
    if (summary.top5) test["top5"] = *summary.top5;
    const nlohmann::ordered_json object{{"space", space_},
                                        {"genotype", to_string(setup_.network.architecture)},
                                        {"dataset", name_in_options(options_.data.dataset.value)},
                                        {"epochs", summary.epochs},
                                        {"seed", options_.run.seed.value},
                                        {"test", test},
                                        {"best", {{"epoch", summary.best_epoch}, {"accuracy", summary.best_accuracy}}},
                                        {"params", summary.counts.params},
                                        {"macs", summary.counts.macs},
                                        {"auxiliary_params", summary.counts.auxiliary_params},
                                        {"averaged_weights", options_.regularisation.average_decay > 0}};
    output_.directory().write_text("result.json", object.dump(2) + "\n");
  }

  const TrainOptions& options_;
  const TrainingSetup& setup_;
  std::string_view space_;
  torch::Device device_;
  Identity identity_;
  TrainingOutput output_;
  CheckpointStore store_;
  PinnedMemory pinned_;
  BatchLoader loader_, test_loader_;
  std::shared_ptr<const SampleLists> lists_;
  int compute_threads_ = 1, loader_threads_ = 1;

  TrainingState state_;  // finish epoch's
  EpochSums sums_;       // the accumulator's
  std::optional<Checkpoint> checkpoint_;

  // The device executor's.
  std::optional<StandAloneNetwork> network_;
  std::optional<Optimizer> optimizer_;
  std::optional<WeightAverage> average_;
  std::deque<Unchecked> unchecked_;

  std::mutex tests_mutex_;
  std::deque<std::pair<TestResult, double>> tests_;  // of epochs that have not finished yet
};

}  // namespace

TrainingSummary train(const TrainOptions& options, const TrainingSetup& setup, bool resume, Identity identity,
                      const std::string& config, std::shared_ptr<Terminal> terminal) {
  return Training(options, setup, resume, std::move(identity), config, std::move(terminal)).run();
}

}  // namespace flowdarts
