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

/// searches.json, written by flowdarts_add_search(): an array of
/// {"name": program, "recipe": its named method or null, "space": ..., "policies": [{"role": ..., "name": ...}, ...]}.
/// It lies beside this program in a build tree and in ../share/flowdarts in an installed one.
std::filesystem::path searches_file() {
  const auto programs = std::filesystem::read_symlink("/proc/self/exe").parent_path();
  const std::array places{programs / "searches.json", programs.parent_path() / "share/flowdarts/searches.json"};
  for (const auto& place : places) {
    if (std::filesystem::exists(place)) return place;
  }
  throw RunError("no list of search programs: found neither " + places[0].string() + " nor " + places[1].string());
}

nlohmann::ordered_json read_searches(const std::filesystem::path& file) {
  std::ifstream stream(file);
  try {
    auto searches = nlohmann::ordered_json::parse(stream);
    if (!searches.is_array()) throw InputError(file.string() + ": found no array of searches");
    return searches;
  } catch (const nlohmann::json::parse_error& error) {
    throw InputError(file.string() + ": byte " + std::to_string(error.byte) + ": found no valid JSON");
  } catch (const nlohmann::json::out_of_range&) {
    throw InputError(file.string() + ": found a number beyond the range of a double");
  }
}

}  // namespace

void List::declare(CLI::App& command) {
  command.add_flag("--json", json, "Print one JSON array");
}

void List::run() const {
  const auto file = searches_file();
  const auto searches = read_searches(file);
  std::vector<std::array<std::string, 4>> rows{{"PROGRAM", "RECIPE", "SPACE", "POLICIES"}};
  try {
    for (const auto& search : searches) {
      std::string policies;
      for (const auto& policy : search.at("policies")) {
        policies += (policies.empty() ? "" : ", ") + policy.at("name").get<std::string>();
      }
      const auto& recipe = search.at("recipe");
      rows.push_back({search.at("name"), recipe.is_null() ? "-" : recipe.get<std::string>(), search.at("space"),
                      std::move(policies)});
    }
  } catch (const nlohmann::json::exception&) {
    throw InputError(file.string() + ": search " + std::to_string(rows.size()) +
                     ": expected name, recipe, space and policies");
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
