#include <algorithm>
#include <array>
#include <filesystem>
#include <flowdarts/spaces/support/error.hpp>
#include <fstream>
#include <iomanip>
#include <iostream>
#include <nlohmann/json.hpp>
#include <vector>

#include "commands.hpp"

namespace flowdarts::app {
namespace {

/// What the search programs beside this one say of themselves: share/flowdarts/searches/PROGRAM.json, in the order of
/// their names, each {"name": program, "recipe": ..., "space": ..., "policies": [{"role": ..., "name": ...}, ...]}. A
/// build tree and an installed one have the same layout.
nlohmann::ordered_json read_searches() {
  const auto programs = std::filesystem::read_symlink("/proc/self/exe").parent_path();
  const auto folder = programs.parent_path() / "share/flowdarts/searches";
  if (!std::filesystem::is_directory(folder)) throw RunError(folder.string() + ": found no folder of search programs");
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() == ".json") files.push_back(entry.path());
  }
  std::ranges::sort(files);
  auto searches = nlohmann::ordered_json::array();
  for (const auto& file : files) {
    std::ifstream stream(file);
    try {
      searches.push_back(nlohmann::ordered_json::parse(stream));
    } catch (const nlohmann::json::parse_error& error) {
      throw InputError(file.string() + ": byte " + std::to_string(error.byte) + ": found no valid JSON");
    } catch (const nlohmann::json::out_of_range&) {
      throw InputError(file.string() + ": found a number beyond the range of a double");
    }
  }
  return searches;
}

}  // namespace

void List::declare(CLI::App& command) {
  command.add_flag("--json", json, "Print one JSON array");
}

void List::run() const {
  const auto searches = read_searches();
  std::vector<std::array<std::string, 4>> rows{{"PROGRAM", "RECIPE", "SPACE", "POLICIES"}};
  try {
    for (const auto& search : searches) {
      std::string policies;
      for (const auto& policy : search.at("policies")) {
        policies += (policies.empty() ? "" : ", ") + policy.at("name").get<std::string>();
      }
      rows.push_back({search.at("name"), search.at("recipe"), search.at("space"), std::move(policies)});
    }
  } catch (const nlohmann::json::exception&) {
    throw InputError("search program " + std::to_string(rows.size()) + ": expected name, recipe, space and policies");
  }
  if (json) {
    std::cout << searches.dump(2) << "\n";
    return;
  }
  std::array<std::size_t, 3> widths{};
  for (const auto& row : rows) {
    for (std::size_t i = 0; i < widths.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  for (const auto& row : rows) {
    for (std::size_t i = 0; i < widths.size(); ++i) {
      std::cout << std::left << std::setw(static_cast<int>(widths[i] + 2)) << row[i];
    }
    std::cout << row.back() << "\n";
  }
}

}  // namespace flowdarts::app
