#include <flowdarts/pipeline/run_directory/progress.hpp>
#include <flowdarts/pipeline/training/presets.hpp>
#include <flowdarts/pipeline/training/train_main.hpp>
#include <flowdarts/pipeline/training/training.hpp>
#include <flowdarts/spaces/support/error.hpp>
#include <flowdarts/spaces/support/exit_code.hpp>
#include <flowdarts/spaces/support/version.hpp>
#include <flowdarts/stages/ranks/launched.hpp>

#include <algorithm>
#include <filesystem>
#include <iomanip>
#include <iostream>
#include <sstream>
#include <string>

namespace flowdarts {
namespace {

constexpr std::array<std::string_view, 3> spaces{nas_bench_201::space_name, darts::space_name, mobilenet::space_name};

Architecture architecture_of(const NetworkOptions& options) {
  if (options.genotype.value.empty()) {
    throw InputError("--genotype: found nothing, expected an architecture's text, a genotype.json or a run directory");
  }
  const auto space = options.space.value.empty() ? std::optional<std::string>() : options.space.value;
  try {
    return read_architecture(options.genotype.value, space);
  } catch (const InputError& error) {
    const std::string what = error.what();
    throw InputError(what.starts_with("--space") ? what : "--genotype: " + what);
  }
}

/// What a checkpoint must agree with before a training goes on from it.
Identity identity_of(const OptionTable& table) {
  Identity identity{{"program", "flowdarts train"}};
  for (const OptionRow& row : table.rows()) {
    const bool free = std::ranges::find(not_training_identity, row.name) != not_training_identity.end();
    if (!free) identity.emplace_back("--" + row.flag, row.get());
  }
  return identity;
}

std::string describe(const TrainingSetup& setup, const TrainRunOptions& run) {
  const auto size = static_cast<std::int64_t>(setup.ids.size());
  const std::int64_t steps = (size + run.batch_size - 1) / run.batch_size;
  const StandAloneCounts counts = count_network(setup.network);
  std::ostringstream out;
  out << "# " << setup.train->name() << ": " << size << " training and " << setup.test->size() << " test images of "
      << setup.train->classes() << " classes\n# network: " << format_count(counts.params) << " params, "
      << format_count(counts.macs) << " MACs on images of " << setup.network.spec.image_size << " x "
      << setup.network.spec.image_size << "\n# " << run.epochs.value << " epochs of " << steps << " steps\n";
  return out.str();
}

void print_summary(const TrainingSummary& summary, const TrainOptions& options) {
  const auto percent = [](double part) {
    std::ostringstream text;
    text << std::fixed << std::setprecision(2) << 100 * part << " %";
    return text.str();
  };
  std::cout << "\ngenotype       " << options.network.genotype.value << "\ntest accuracy  "
            << percent(summary.accuracy);
  if (summary.top5) std::cout << ", top-5 " << percent(*summary.top5);
  std::cout << "; best " << percent(summary.best_accuracy) << " in epoch " << summary.best_epoch << "\nparams         "
            << format_count(summary.counts.params) << "\nMACs           " << format_count(summary.counts.macs)
            << "\nepochs         " << summary.epochs << "\ntime           " << format_duration(summary.seconds)
            << "\nrun directory  " << options.run.out.value << "\n";
}

int run_checked(std::span<const char* const> arguments) {
  if (const int processes = launched_processes(); processes > 1) {
    throw InputError("started as one of " + std::to_string(processes) +
                     " processes, expected one: a stand-alone network trains in one process");
  }
  const std::string name = std::filesystem::path(arguments[0]).filename().string();
  TrainOptions options;
  OptionTable all;
  add_options(all, options);
  for (const std::string_view space : spaces) {
    for (const Preset& preset : training_presets(space)) all.add_preset(preset);
  }
  OptionTable::CommandLine asked = all.read_command_line(arguments);
  if (asked.help) {
    std::cout << all.help(name,
                          "trains the stand-alone network of an architecture, without --preset "
                          "by the first recipe for its space");
    return 0;
  }
  if (asked.version) {
    std::cout << name << " " << version_text << "\n";
    return 0;
  }
  // A resumed training has the options it was started with, unless the command line says otherwise.
  const std::filesystem::path config = std::filesystem::path(options.run.out.value) / "config.toml";
  if (asked.resume) {
    if (!std::filesystem::exists(config)) {
      throw InputError("--resume: " + options.run.out.value +
                       ": found no config.toml, expected the run directory of a "
                       "training");
    }
    all.read_toml(config);
    all.read_command_line(arguments);
  }

  // Only now is it known whose recipes are meant: those of the architecture's space.
  const Architecture architecture = architecture_of(options.network);
  const std::vector<Preset> presets = training_presets(space_of(architecture));
  options = {};
  OptionTable table;
  add_options(table, options);
  for (const Preset& preset : presets) table.add_preset(preset);
  if (asked.preset.empty()) table.apply_preset(presets.front().name);
  if (asked.resume) table.read_toml(config);
  table.read_command_line(arguments);
  // What the run directory says must not depend on files outside of it.
  options.network.genotype = to_string(architecture);
  options.network.space = std::string(space_of(architecture));

  const TrainingSetup setup = open_training(options, architecture);
  const std::string toml = table.to_toml();
  if (asked.dry_run) {
    std::cout << toml << "\n" << describe(setup, options.run);
    return 0;
  }
  const TrainingSummary summary =
      train(options, setup, asked.resume, identity_of(table), toml, std::make_shared<Terminal>());
  if (!summary.finished) return 128 + summary.signal;
  print_summary(summary, options);
  return 0;
}

}  // namespace

void add_options(OptionTable& table, TrainOptions& options) {
  table.add("network", "", options.network);
  table.add("run", "", options.run);
  table.add("data", "", options.data);
  table.add("optimizer", "", options.optimizer);
  table.add("schedule", "", options.schedule);
  table.add("regularisation", "", options.regularisation);
}

int train_main(std::span<const char* const> arguments) {
  return exit_code_of(
      std::filesystem::path(arguments[0]).filename().string(), [&] { return run_checked(arguments); },
      "a smaller --batch-size or --prefetch needs less");
}

}  // namespace flowdarts
