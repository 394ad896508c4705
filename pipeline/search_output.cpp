#include <flowdarts/pipeline/log_level.hpp>
#include <flowdarts/pipeline/run_directory/log.hpp>
#include <flowdarts/pipeline/search_output.hpp>

#include <nlohmann/json.hpp>
#include <utility>

namespace flowdarts {
namespace {

using Json = nlohmann::ordered_json;

double mean(double sum, std::int64_t count) {
  return count > 0 ? sum / static_cast<double>(count) : 0.0;
}

Json split_row(Split split, const EpochRecord& record) {
  const EpochSums& sums = record.close->sums;
  const auto& ids = (*record.close->plan->request.lists)[split];
  return {{"samples", ids.size()},
          {"loss", mean(sums.loss[split], sums.samples[split])},
          {"accuracy", mean(static_cast<double>(sums.correct[split]), sums.samples[split])},
          {"balance", record.balance[split]}};
}

Json importance_row(const EpochRecord& record) {
  if (record.report->importance.empty()) return nullptr;
  return {{"measure", record.importance},
          {"epoch", record.report->measured_after},
          {"low_is_important", record.low_is_important},
          {"values", record.report->importance}};
}

Json ops_left(const std::vector<std::vector<bool>>& masks) {
  if (masks.empty()) return nullptr;
  Json matrices = Json::array();
  for (const auto& mask : masks) matrices.push_back(std::vector<int>(mask.begin(), mask.end()));
  return matrices;
}

Json cost_row(const std::optional<NetworkCost>& cost) {
  if (!cost) return nullptr;
  return {{"params", cost->params}, {"macs", cost->macs}};
}

Json exchanged_row(const Ranks& ranks, const EpochReport& report) {
  if (!ranks.several()) return nullptr;
  return {{"processes", ranks.size()}, {"messages", report.exchanged.messages}, {"bytes", report.exchanged.bytes}};
}

Json prune_row(const PruneReport& report) {
  return {{"removed", report.removed},
          {"kept", report.kept.size()},
          {"balance", report.balance},
          {"divisor", report.divisor},
          {"removed_by_class", report.removed_by_class}};
}

}  // namespace

SearchOutput::SearchOutput(const RunOptions& options, bool resume, std::shared_ptr<Terminal> terminal,
                           std::shared_ptr<Ranks> ranks)
    : terminal_(std::move(terminal)), ranks_(std::move(ranks)), progress_(*terminal_) {
  if (!ranks_->writes()) return;
  directory_ = resume ? RunDirectory::resume(options.out.value) : RunDirectory::create(options.out.value);
  log_ = make_logger(terminal_, spdlog_level(options.log_level));
  add_log_file(*log_, directory_->log());
  if (const auto& holder = directory_->lock().stale_holder()) {
    log_->warn("{}: {} ended without releasing it", options.out.value, *holder);
  }
  ranks_->listen({.told = [this](const std::string& line) { warn(line); },
                  .failed = [this](const std::string& reason) { fail(reason); }});
}

SearchOutput::~SearchOutput() {
  ranks_->listen({});
}

void SearchOutput::begin(std::int64_t completed, std::int64_t images_before) {
  if (!ranks_->writes()) return;
  images_before_ = images_before;
  metrics_.emplace(MetricsWriter::resume(directory_->metrics(), completed));
  events_.emplace(directory_->events(), completed + 1);
  start_ = epoch_start_ = Clock::now();
}

void SearchOutput::step(const StepReport& report, const EpochSums& sums, std::int64_t epochs) {
  if (!ranks_->writes()) return;
  const EpochPlan& plan = *report.plan;
  const auto index = static_cast<std::size_t>(report.step);
  std::size_t images = 0;
  if (report.train) images += plan.train_batches[index].size();
  if (report.val) images += plan.val_batches[index].ids.size();
  throughput_.add(static_cast<std::int64_t>(images));
  ++steps_seen_;
  if (!terminal_->live()) return;
  // Epochs yet to come are taken to be as long as this one; pruning only makes them shorter.
  const std::int64_t steps_left = (epochs - plan.epoch()) * plan.steps() - report.step - 1;
  const double elapsed = std::chrono::duration<double>(Clock::now() - start_).count();
  const std::lock_guard lock(progress_mutex_);
  progress_.update({.epoch = plan.epoch() + 1,
                    .epochs = epochs,
                    .step = report.step + 1,
                    .steps = plan.steps(),
                    .loss = mean(sums.loss.train, sums.samples.train),
                    .accuracy = mean(static_cast<double>(sums.correct.train), sums.samples.train),
                    .images_per_second = throughput_.per_second(),
                    .train_left = static_cast<std::int64_t>(plan.request.lists->train.size()),
                    .val_left = static_cast<std::int64_t>(plan.request.lists->val.size()),
                    .seconds_left = elapsed / static_cast<double>(steps_seen_) * static_cast<double>(steps_left)});
}

void SearchOutput::epoch(const EpochRecord& record, const std::string& genotype_json, const std::string& genotype_dot) {
  if (!ranks_->writes()) return;
  const EpochClose& close = *record.close;
  const EpochReport& report = *record.report;
  const EpochSums& sums = close.sums;
  const std::int64_t number = close.plan->epoch() + 1;
  const double seconds = std::chrono::duration<double>(Clock::now() - epoch_start_).count();
  epoch_start_ = Clock::now();
  const auto images = static_cast<double>(sums.samples.train + sums.samples.val - std::exchange(images_before_, 0));

  Json accuracies = Json::object();
  for (const auto& [set, accuracy] : record.true_accuracies) accuracies[set] = accuracy;
  Json row{{"epoch", number},
           {"lr", record.lr},
           {"train", split_row(Split::train, record)},
           {"val", split_row(Split::val, record)},
           {"genotype", report.genotype.empty() ? Json(nullptr) : Json(report.genotype)},
           {"true_accuracy", accuracies},
           {"cost", cost_row(record.cost)},
           {"collapse", record.collapse ? Json(*record.collapse) : Json(nullptr)},
           {"alpha", report.alphas},
           {"op_weights", report.weights},
           {"importance", importance_row(record)},
           {"ops_left", ops_left(report.masks)},
           {"pruned", nullptr},
           {"hessian", nullptr},
           {"exchanged", exchanged_row(*ranks_, report)},
           {"skipped", record.skipped},
           {"images_per_second", images / seconds},
           {"seconds",
            {{"epoch", seconds},
             {"arch_step", sums.arch_seconds},
             {"weight_step", sums.weight_seconds},
             {"device_waiting", sums.waited_seconds},
             {"end_of_epoch", report.seconds},
             {"reading", sums.read_seconds},
             {"loading", sums.load_seconds},
             {"prune_train", record.pruned->train.seconds},
             {"prune_val", record.pruned->val.seconds}}}};
  if (record.pruned->train.pruned) {
    row["pruned"] = {{"train", prune_row(record.pruned->train)}, {"val", prune_row(record.pruned->val)}};
  }
  if (report.eigenvalues)
    row["hessian"] = {{"largest", report.eigenvalues->first}, {"dominant", report.eigenvalues->second}};
  metrics_->append(row);
  metrics_->sync();

  const auto scalar = [&](const std::string& tag, double value) {
    events_->add_scalar(tag, number, static_cast<float>(value));
  };
  for (const Split split : all_splits) {
    const std::string name(name_of(split));
    scalar("loss/" + name, row[name]["loss"].get<double>());
    scalar("accuracy/" + name, row[name]["accuracy"].get<double>());
    scalar("samples/" + name, row[name]["samples"].get<double>());
    scalar("balance/" + name, record.balance[split]);
  }
  scalar("lr", record.lr);
  scalar("seconds/epoch", seconds);
  scalar("seconds/device_waiting", sums.waited_seconds);
  for (const auto& [set, accuracy] : record.true_accuracies) scalar("true_accuracy/" + set, accuracy);
  if (report.eigenvalues) scalar("hessian/dominant", report.eigenvalues->second);
  if (!report.genotype.empty()) events_->add_text("genotype", number, "`" + report.genotype + "`");
  events_->sync();

  if (!report.genotype.empty()) {
    directory_->write_text("genotype.json", genotype_json);
    directory_->write_text("genotype.dot", genotype_dot);
  }
  if (record.collapse) collapse(*record.collapse, record.collapsed_before, number);

  const std::lock_guard lock(progress_mutex_);
  progress_.epoch_done({.epoch = number,
                        .epochs = record.epochs,
                        .step = close.plan->steps(),
                        .steps = close.plan->steps(),
                        .loss = row["train"]["loss"].get<double>(),
                        .accuracy = row["train"]["accuracy"].get<double>(),
                        .images_per_second = images / seconds,
                        .train_left = static_cast<std::int64_t>(close.plan->request.lists->train.size()),
                        .val_left = static_cast<std::int64_t>(close.plan->request.lists->val.size())},
                       seconds);
}

void SearchOutput::info(const std::string& line) {
  if (ranks_->writes()) log_->info("{}", line);
}

void SearchOutput::warn(const std::string& line) {
  if (ranks_->writes()) log_->warn("{}", line);
}

void SearchOutput::warn_of_own(const std::string& line) {
  if (ranks_->writes()) return warn(line);
  ranks_->tell(line);
}

void SearchOutput::images(const Dataset& dataset, const SampleLists& lists, int compute_threads, int loader_threads) {
  if (!ranks_->writes()) return;
  log_->info("{} images of {} classes; T {}, V {}; {} threads, {} of them load", dataset.size(), dataset.classes(),
             lists.train.size(), lists.val.size(), compute_threads, loader_threads);
}

void SearchOutput::processes(const RunOptions& options) {
  if (!ranks_->writes() || !ranks_->several()) return;
  log_->info("{} processes, {} of them on this host, share batches of {}; batch norms use the statistics of {}",
             ranks_->size(), ranks_->local_size(), options.batch_size.value,
             options.sync_bn ? "the whole batch" : "each process's share");
}

void SearchOutput::cut(Split split, std::size_t kept, std::size_t before) {
  if (!ranks_->writes()) return;
  log_->info("{} keeps {} of {} samples", name_of(split), kept, before);
}

void SearchOutput::pruned(Split split, const PruneReport& report) {
  if (!ranks_->writes()) return;
  log_->info("pruned {}: {} of {} samples leave, b {:.3f}", name_of(split), report.removed,
             report.removed + static_cast<std::int64_t>(report.kept.size()), report.balance);
}

void SearchOutput::over_budget(const NetworkCost& derived, const std::optional<NetworkCost>& inside) {
  if (!ranks_->writes()) return;
  if (inside) {
    log_->info(
        "over budget: the derived network has {} parameters and {} MACs; the best ranked one inside, with {} and {}, "
        "takes its place",
        derived.params, derived.macs, inside->params, inside->macs);
  } else {
    log_->warn("over budget: the derived network has {} parameters and {} MACs, and none of what is left is inside",
               derived.params, derived.macs);
  }
}

void SearchOutput::collapse(const CollapseVerdict& verdict, bool collapsed_before, std::int64_t epoch) {
  if (verdict.collapsed() == collapsed_before) return;
  if (verdict.collapsed()) {
    log_->warn("collapse: the architecture of epoch {} has {}", epoch, verdict.reason());
  } else {
    log_->info("no collapse any more: the architecture of epoch {} has {}", epoch, verdict.reason());
  }
}

void SearchOutput::interrupted(std::int64_t epochs, std::int64_t steps) {
  if (!ranks_->writes()) return;
  if (steps > 0) {
    log_->info("interrupted in epoch {} after step {}; --resume continues there", epochs + 1, steps);
  } else {
    log_->info("interrupted after epoch {}; --resume continues there", epochs);
  }
}

void SearchOutput::fail(const std::string& reason) {
  if (!ranks_->writes()) return;
  progress_.finish();
  spdlog::logger file("flowdarts", log_->sinks().back());
  file.set_error_handler([](const std::string&) {});  // a full disk is most likely what the reason says
  file.error(reason);
}

}  // namespace flowdarts
