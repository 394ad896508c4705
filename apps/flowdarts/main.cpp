#include <CLI/CLI.hpp>
#include <flowdarts/spaces/support/error.hpp>
#include <flowdarts/spaces/support/exit_code.hpp>
#include <flowdarts/spaces/support/nearest.hpp>
#include <flowdarts/spaces/support/quote.hpp>
#include <flowdarts/spaces/support/version.hpp>
#include <iostream>
#include <span>
#include <vector>

#include "commands.hpp"
#include "hand_over.hpp"

namespace {

using namespace flowdarts;

std::vector<std::string> option_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  }
  return names;
}

std::vector<std::string> command_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands({})) names.push_back(command->get_name());
  return names;
}

/// What is wrong with the command line. An argument that nothing takes explains more than what is missing without it.
std::string explain(const CLI::App& app, const CLI::ParseError& error) {
  std::vector<const CLI::App*> given{&app};
  while (!given.back()->get_subcommands().empty()) given.push_back(given.back()->get_subcommands().front());
  const CLI::App& command = *given.back();
  const bool needs_command = !command.get_subcommands({}).empty();
  std::string prefix;
  for (const CLI::App* part : std::span(given).subspan(1)) prefix += (prefix.empty() ? "" : " ") + part->get_name();
  if (!prefix.empty()) prefix += ": ";
  if (const auto unknown = command.remaining(); !unknown.empty()) {
    const std::string& argument = unknown.front();
    if (argument.starts_with('-')) {
      return prefix + "unknown option " + quote(argument) + ", the nearest known one is " +
             quote(nearest_name(argument.substr(0, argument.find('=')), option_names(command)).value());
    }
    if (needs_command) {
      return prefix + "unknown command " + quote(argument) + ", the nearest known one is " +
             quote(nearest_name(argument, command_names(command)).value());
    }
    return prefix + "unexpected argument " + quote(argument);
  }
  if (needs_command) {
    return prefix + "found no command, expected one of " + CLI::detail::join(command_names(command), ", ");
  }
  if (error.get_name() == "ConversionError") return prefix + error.what() + ", expected a number";
  return prefix + error.what();
}

int run(int argc, char** argv) {
  app::hand_over(argc, argv);
  CLI::App program("Differentiable neural architecture search: what was built, and what is known about a cell.",
                   "flowdarts");
  program.set_version_flag("--version", std::string("flowdarts ") + version_text);
  program.require_subcommand(1);
  app::List list;
  app::Query query;
  app::Info info;
  app::Correlate correlate;
  app::Report report;
  app::DataSplit data_split;
  app::DataShards data_shards;
  app::Export exported;
  auto* list_command = program.add_subcommand("list", "The search programs that were built");
  auto* query_command = program.add_subcommand("query", "The true accuracies of a NAS-Bench-201 cell and their ranks");
  auto* info_command = program.add_subcommand("info", "Parameters, MACs, depth and a drawing of a cell's network");
  auto* correlate_command =
      program.add_subcommand("correlate", "How well a search on NAS-Bench-201 ranked the ops of each edge");
  auto* report_command =
      program.add_subcommand("report", "A page about a search, or several: cells, ops, curves, configuration");
  auto* data_command = program.add_subcommand("data", "Lists of images, shards of images");
  auto* split_command =
      data_command->add_subcommand("split", "Choose T and V from a folder of images, as lists of files");
  auto* shards_command =
      data_command->add_subcommand("shards", "Write a folder of images as tar shards, in random order");
  data_command->require_subcommand(1);
  auto* export_command =
      program.add_subcommand("export", "ONNX, safetensors or text of what a search or a training has found");
  for (const app::HandedOver& command : app::handed_over) {
    program.add_subcommand(std::string(command.name), std::string(command.help));
  }
  list.declare(*list_command);
  query.declare(*query_command);
  info.declare(*info_command);
  correlate.declare(*correlate_command);
  report.declare(*report_command);
  data_split.declare(*split_command);
  data_shards.declare(*shards_command);
  exported.declare(*export_command);
  try {
    program.parse(argc, argv);
  } catch (const CLI::Success& help) {
    return program.exit(help);
  } catch (const CLI::ParseError& error) {
    throw InputError(explain(program, error));
  }
  if (list_command->parsed()) list.run();
  if (query_command->parsed()) query.run();
  if (info_command->parsed()) info.run();
  if (correlate_command->parsed()) correlate.run();
  if (report_command->parsed()) report.run();
  if (split_command->parsed()) data_split.run();
  if (shards_command->parsed()) data_shards.run();
  if (export_command->parsed()) {
    exported.check();
    if (!exported.is_text_alone()) app::become_command(argc, argv);
    std::cout << exported.text();
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  return flowdarts::exit_code_of("flowdarts", [&] { return run(argc, argv); });
}
