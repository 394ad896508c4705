#include <flowdarts/pipeline/log_level.hpp>
#include <flowdarts/pipeline/run_directory/log.hpp>
#include <flowdarts/pipeline/training/training_output.hpp>

#include <nlohmann/json.hpp>
#include <utility>

namespace flowdarts {
namespace {

using Json = nlohmann::ordered_json;

double mean(double sum, std::int64_t count) {
  return count > 0 ? sum / static_cast<double>(count) : 0.0;
}

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

TrainingOutput::TrainingOutput(const TrainRunOptions& options, bool resume, std::shared_ptr<Terminal> terminal)
    : terminal_(std::move(terminal)),
      directory_(resume ? RunDirectory::resume(options.out.value) : RunDirectory::create(options.out.value)),
      log_(make_logger(terminal_, spdlog_level(options.log_level))),
      progress_(*terminal_) {
  add_log_file(*log_, directory_.log());
  if (const auto& holder = directory_.lock().stale_holder()) {
    log_->warn("{}: {} ended without releasing it", options.out.value, *holder);
  }
}

void TrainingOutput::begin(std::int64_t completed, std::int64_t images_before) {
  images_before_ = images_before;
  metrics_.emplace(MetricsWriter::resume(directory_.metrics(), completed));
  events_.emplace(directory_.events(), completed + 1);
  start_ = epoch_start_ = Clock::now();
}

void TrainingOutput::step(const StepReport& report, const EpochSums& sums, std::int64_t epochs) {
  if (report.train) throughput_.add(static_cast<std::int64_t>(report.train->ids.size()));
  ++steps_seen_;
  if (!terminal_->live()) return;
  const EpochPlan& plan = *report.plan;
  const std::int64_t steps_left = (epochs - plan.epoch()) * plan.steps() - report.step - 1;
  const std::lock_guard lock(progress_mutex_);
  progress_.update(
      {.epoch = plan.epoch() + 1,
       .epochs = epochs,
       .step = report.step + 1,
       .steps = plan.steps(),
       .loss = mean(sums.loss.train, sums.samples.train),
       .accuracy = mean(static_cast<double>(sums.correct.train), sums.samples.train),
       .images_per_second = throughput_.per_second(),
       .seconds_left = seconds_since(start_) / static_cast<double>(steps_seen_) * static_cast<double>(steps_left)});
}

void TrainingOutput::epoch(const TrainedEpoch& epoch) {
  const EpochSums& sums = epoch.sums;
  const double seconds = seconds_since(std::exchange(epoch_start_, Clock::now()));
  const double per_second =
      static_cast<double>(sums.samples.train - std::exchange(images_before_, 0)) / (seconds > 0 ? seconds : 1);
  const double loss = mean(sums.loss.train, sums.samples.train);
  const double accuracy = mean(static_cast<double>(sums.correct.train), sums.samples.train);
  Json row{{"epoch", epoch.number},
           {"lr", epoch.lr},
           {"train", {{"samples", sums.samples.train}, {"loss", loss}, {"accuracy", accuracy}}},
           {"test", {{"loss", epoch.test_loss}, {"accuracy", epoch.test_accuracy}}},
           {"skipped", epoch.skipped},
           {"images_per_second", per_second},
           {"seconds",
            {{"epoch", seconds},
             {"weight_step", sums.weight_seconds},
             {"device_waiting", sums.waited_seconds},
             {"test", epoch.test_seconds},
             {"reading", sums.read_seconds},
             {"loading", sums.load_seconds}}}};
  if (epoch.test_top5) row["test"]["top5"] = *epoch.test_top5;
  metrics_->append(row);
  metrics_->sync();

  const auto scalar = [&](const std::string& tag, double value) {
    events_->add_scalar(tag, epoch.number, static_cast<float>(value));
  };
  scalar("loss/train", loss);
  scalar("loss/test", epoch.test_loss);
  scalar("accuracy/train", accuracy);
  scalar("accuracy/test", epoch.test_accuracy);
  if (epoch.test_top5) scalar("top5/test", *epoch.test_top5);
  scalar("lr", epoch.lr);
  scalar("seconds/epoch", seconds);
  events_->sync();

  const std::lock_guard lock(progress_mutex_);
  progress_.epoch_done({.epoch = epoch.number,
                        .epochs = epoch.epochs,
                        .step = epoch.steps,
                        .steps = epoch.steps,
                        .loss = loss,
                        .accuracy = accuracy,
                        .images_per_second = per_second,
                        .test_accuracy = epoch.test_accuracy},
                       seconds);
}

void TrainingOutput::fail(const std::string& reason) {
  progress_.finish();
  spdlog::logger file("flowdarts", log_->sinks().back());
  file.set_error_handler([](const std::string&) {});  // a full disk is most likely what the reason says
  file.error(reason);
}

void TrainingOutput::info(const std::string& line) {
  log_->info("{}", line);
}

void TrainingOutput::warn(const std::string& line) {
  log_->warn("{}", line);
}

void TrainingOutput::interrupted(std::int64_t epochs, std::int64_t steps) {
  if (steps > 0) {
    log_->info("interrupted in epoch {} after step {}; --resume continues there", epochs + 1, steps);
  } else {
    log_->info("interrupted after epoch {}; --resume continues there", epochs);
  }
}

}  // namespace flowdarts
