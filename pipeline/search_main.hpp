#pragma once
// The program of a search: command line, configuration, exit codes.

#include <flowdarts/pipeline/search.hpp>
#include <flowdarts/policies/options/option_table.hpp>

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace flowdarts {

/// A search program's name and what it is made of.
struct ProgramFacts {
  std::string recipe;  ///< "bdp-darts", or the name of a custom search
  std::string space;
  std::vector<std::pair<std::string, std::string>> policies;  ///< (role, policy)
};

/// What a finished search says at its end; torch-free so that it is compiled once.
struct SearchSummary {
  bool finished = false;
  int signal = 0;
  std::string genotype;
  std::string drawing;
  CollapseVerdict collapse;
  std::vector<std::pair<std::string, double>> true_accuracies;
  std::optional<NetworkCost> cost;
  std::int64_t epochs = 0;
  double seconds = 0;
  PerSplit<std::int64_t> samples{};
};

/// The part of a search program that knows no method.
struct SearchProgram {
  ProgramFacts facts;
  OptionTable* table = nullptr;
  const RunOptions* run = nullptr;
  /// The steps of the search as a dry run tells them; opens the data.
  std::function<std::string()> plan;
  std::function<SearchSummary(bool resume, const Identity& identity, const std::string& config,
                              std::shared_ptr<Terminal>, std::shared_ptr<Ranks>)>
      search;
};

/// Exit code 0; 1 for a failure; 2 for bad input; 128 + n after signal n. Errors are one line on stderr. Of several
/// processes (`mpirun`, `srun`) the first one speaks, and the failure of one ends all.
int run_search_program(const SearchProgram& program, std::span<const char* const> arguments);

// The options that all searches have, compiled once.
void add_options(OptionTable& table, RunOptions& run, DataOptions& data);
void add_options(OptionTable& table, WeightOptions& weights, ArchOptions& alpha);

/// One line for the steps a search of this length takes.
std::string describe_steps(const SearchData& data, const RunOptions& run);

/// All options of a search and its presets; `options` must outlive the table.
template <class Method>
void add_options(OptionTable& table, SearchOptions<Method>& options) {
  add_options(table, options.run, options.data);
  table.add("supernet", "", options.space);
  add_options(table, options.weights, options.alpha);
  Method::for_each_role([&]<class Role, class Policy>() {
    table.add(Role::name, Role::name, options.policies[boost::hana::type_c<Role>]);
  });
  // A preset is what the space and the policies say together; a later role has the last word.
  if constexpr (requires { Method::Space::presets(); }) {
    for (const Preset& preset : Method::Space::presets()) table.add_preset(preset);
  }
  Method::for_each_role([&]<class Role, class Policy>() {
    if constexpr (requires { Policy::presets(""); }) {
      for (const Preset& preset : Policy::presets(Method::Space::name)) table.add_preset(preset);
    }
  });
}

/// main() of a search program.
template <class Method>
int search_main(const std::string& recipe, int argc, char** argv) {
  SearchOptions<Method> options;
  OptionTable table;
  add_options(table, options);
  const SearchProgram program{
      .facts = {.recipe = recipe, .space = Method::Space::name, .policies = Method::names()},
      .table = &table,
      .run = &options.run,
      .plan =
          [&] {
            const typename Method::Space space(options.space);
            return describe_steps(SearchGraph<Method>::open_data(options, space), options.run);
          },
      .search =
          [&](bool resume, const Identity& identity, const std::string& config, std::shared_ptr<Terminal> terminal,
              std::shared_ptr<Ranks> ranks) {
            SearchGraph<Method> search(options, resume, identity, config, std::move(terminal), std::move(ranks));
            const auto result = search.run();
            using Space = typename Method::Space;
            return SearchSummary{
                .finished = result.finished,
                .signal = result.signal,
                .genotype = result.genotype ? Space::to_text(*result.genotype) : "",
                .drawing = result.genotype ? Space::draw(*result.genotype) : "",
                .collapse = result.genotype ? Space::collapse_verdict(*result.genotype) : CollapseVerdict{},
                .true_accuracies = result.true_accuracies,
                .cost = result.cost,
                .epochs = result.epochs,
                .seconds = result.seconds,
                .samples = result.samples};
          }};
  return run_search_program(program, std::span<const char* const>(argv, static_cast<std::size_t>(argc)));
}

}  // namespace flowdarts
