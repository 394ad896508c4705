#include <flowdarts/pipeline/search_main.hpp>
#include <flowdarts/spaces/support/exit_code.hpp>
#include <flowdarts/spaces/support/version.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <filesystem>
#include <iostream>
#include <sstream>

namespace flowdarts {
namespace {

std::string describe(const ProgramFacts& facts, const std::string& program) {
  nlohmann::ordered_json policies = nlohmann::ordered_json::array();
  for (const auto& [role, name] : facts.policies) policies.push_back({{"role", role}, {"name", name}});
  return nlohmann::ordered_json{
      {"name", program}, {"recipe", facts.recipe}, {"space", facts.space}, {"policies", policies}}
      .dump(2);
}

/// The last line of config.toml, for who reads it: options alone do not say whose they are.
std::string policies_comment(const ProgramFacts& facts) {
  std::string line = "# policies:";
  for (const auto& [role, name] : facts.policies) line += " " + role + " " + name + ",";
  line.back() = '\n';
  return line;
}

/// What a checkpoint must agree with before a search goes on from it.
Identity identity_of(const ProgramFacts& facts, const OptionTable& table) {
  Identity identity{{"space", facts.space}};
  for (const auto& [role, name] : facts.policies) identity.emplace_back(role + " policy", name);
  for (const OptionRow& row : table.rows()) {
    const bool free = std::ranges::find(not_identity, row.name) != not_identity.end();
    if (!free) identity.emplace_back("--" + row.flag, row.get());
  }
  return identity;
}

void print_summary(const SearchSummary& summary, const RunOptions& run) {
  std::cout << "\n" << summary.drawing << "\ngenotype       " << summary.genotype << "\n";
  if (!summary.true_accuracies.empty()) {
    std::cout << "true accuracy ";
    for (const auto& [set, accuracy] : summary.true_accuracies) std::cout << " " << set << " " << accuracy;
    std::cout << "\n";
  }
  if (summary.cost) {
    std::cout << "network        " << format_count(summary.cost->params) << " parameters, "
              << format_count(summary.cost->macs) << " MACs\n";
  }
  std::cout << "collapse       " << (summary.collapse.collapsed() ? "yes: " : "no: ") << summary.collapse.reason()
            << "\nsamples left   T " << format_count(summary.samples.train) << ", V "
            << format_count(summary.samples.val) << "\nepochs         " << summary.epochs << " of " << run.epochs.value
            << "\ntime           " << format_duration(summary.seconds) << "\nrun directory  " << run.out.value << "\n";
}

int run_checked(const SearchProgram& program, std::span<const char* const> arguments,
                const std::shared_ptr<Ranks>& ranks) {
  OptionTable& table = *program.table;
  const ProgramFacts& facts = program.facts;
  const std::string name = std::filesystem::path(arguments[0]).filename().string();
  OptionTable::CommandLine asked = table.read_command_line(arguments, facts.recipe, facts.space);
  std::ostream nowhere(nullptr);
  std::ostream& out = ranks->writes() ? std::cout : nowhere;
  if (asked.help) {
    out << table.help(name, "searches the space " + facts.space + " with " + facts.recipe);
    return 0;
  }
  if (asked.version) {
    out << name << " " << version_text << "\n";
    return 0;
  }
  if (asked.describe) {
    out << describe(facts, name) << "\n";
    return 0;
  }
  if (asked.resume) {
    // A resumed search has the options it was started with, unless the command line says otherwise.
    const std::filesystem::path config = std::filesystem::path(program.run->out.value) / "config.toml";
    if (std::filesystem::exists(config)) {
      table.read_toml(config, facts.recipe, facts.space);
      asked = table.read_command_line(arguments, facts.recipe, facts.space);
    }
  }
  const std::string config = table.to_toml(facts.recipe, facts.space) + "\n" + policies_comment(facts);
  if (asked.dry_run) {
    const std::string plan = program.plan();  // first: it may refuse
    out << config << "\n" << plan;
    return 0;
  }
  const SearchSummary summary =
      program.search(asked.resume, identity_of(facts, table), config, std::make_shared<Terminal>(), ranks);
  if (!summary.finished) return 128 + summary.signal;
  if (ranks->writes()) print_summary(summary, *program.run);
  return 0;
}

}  // namespace

void add_options(OptionTable& table, RunOptions& run, DataOptions& data) {
  table.add("run", "", run);
  table.add("data", "", data);
}

void add_options(OptionTable& table, WeightOptions& weights, ArchOptions& alpha) {
  table.add("weights", "w", weights);
  table.add("alpha", "alpha", alpha);
}

std::string describe_steps(const SearchData& data, const RunOptions& run) {
  const auto size = static_cast<std::int64_t>(data.lists.train.size());
  const std::int64_t steps = (size + run.batch_size - 1) / run.batch_size;
  std::ostringstream out;
  out << "# " << data.dataset->name() << ": " << data.dataset->size() << " images of " << data.dataset->classes()
      << " classes, T " << size << ", V " << data.lists.val.size() << "\n# " << run.epochs.value << " epochs of "
      << steps << " steps, before any pruning: " << run.epochs * steps << " steps\n";
  return out.str();
}

int run_search_program(const SearchProgram& program, std::span<const char* const> arguments) {
  const std::string name = std::filesystem::path(arguments[0]).filename().string();
  return exit_code_of(
      name,
      [&] {
        const std::shared_ptr<Ranks> ranks = open_ranks(name);
        if (!ranks->several()) return run_checked(program, arguments, ranks);
        choose_gpu(*ranks);
        try {
          return run_checked(program, arguments, ranks);
        } catch (...) {
          fail(*ranks, std::current_exception());
        }
      },
      "a smaller --batch-size, --channels or --prefetch needs less");
}

}  // namespace flowdarts
