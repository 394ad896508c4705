#include "groups.hpp"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <numeric>
#include <set>

namespace flowdarts::report {
namespace {

using Options = std::map<std::string, std::string>;  // by "section.key"

/// All options that change a result, but for the seed.
Options options_of(const Run& run) {
  constexpr std::array other{"run.seed",           "run.out",
                             "run.device",         "run.threads",
                             "run.loader-threads", "run.prefetch",
                             "run.reader-threads", "run.read-ahead",
                             "run.log-level",      "run.keep-checkpoints",
                             "data.data"};
  Options options;
  for (const ConfigSection& section : run.config) {
    for (const auto& [key, value] : section.options) {
      const std::string name = section.name + "." + key;
      if (std::ranges::find(other, name) == other.end()) options[name] = value;
    }
  }
  return options;
}

/// The options, all but method and space, in which these differ.
std::set<std::string> differing(const std::vector<Options>& all) {
  std::set<std::string> names;
  for (const Options& options : all) {
    for (const auto& [name, value] : options) {
      if (name.starts_with("search.")) continue;
      const bool same = std::ranges::all_of(all, [&](const Options& other) {
        const auto found = other.find(name);
        return found != other.end() && found->second == value;
      });
      if (!same) names.insert(name);
    }
  }
  return names;
}

/// A genotype, say, fills no legend.
std::string shortened(const std::string& value) {
  constexpr std::size_t limit = 40;
  if (value.size() <= limit) return value;
  std::size_t end = limit - 3;
  while (end > 0 && (static_cast<unsigned char>(value[end]) & 0xC0U) == 0x80U) --end;  // whole characters of UTF-8
  return value.substr(0, end) + "...";
}

}  // namespace

std::vector<Group> group_runs(std::span<const Run> runs) {
  std::vector<Group> groups;
  std::vector<Options> options;
  std::set<std::string> spaces;
  for (std::size_t i = 0; i < runs.size(); ++i) {
    Options own = options_of(runs[i]);
    const auto at = static_cast<std::size_t>(std::ranges::find(options, own) - options.begin());
    if (at == groups.size()) {
      groups.push_back({runs[i].method(), {}});
      options.push_back(std::move(own));
    }
    groups[at].members.push_back(i);
    spaces.insert(runs[i].space());
  }
  std::map<std::string, std::vector<std::size_t>> of_search;
  for (std::size_t i = 0; i < groups.size(); ++i) {
    if (spaces.size() > 1) groups[i].name += " on " + runs[groups[i].members.front()].space();
    of_search[groups[i].name].push_back(i);
  }
  for (const auto& [search, same] : of_search) {
    std::vector<Options> theirs;
    for (const std::size_t i : same) theirs.push_back(options[i]);
    for (const std::string& name : differing(theirs)) {
      for (const std::size_t i : same) {
        const auto found = options[i].find(name);
        groups[i].name += ", " + name + (found == options[i].end() ? " not set" : " = " + shortened(found->second));
      }
    }
  }
  return groups;
}

MeanDeviation mean_deviation(std::span<const double> values) {
  MeanDeviation result{.count = values.size()};
  const auto n = static_cast<double>(values.size());
  result.mean = std::accumulate(values.begin(), values.end(), 0.0) / n;
  if (values.size() < 2) return result;
  double squares = 0;
  for (const double value : values) squares += (value - result.mean) * (value - result.mean);
  result.deviation = std::sqrt(squares / (n - 1));
  return result;
}

std::string MeanDeviation::text(int decimals) const {
  if (!deviation) return fmt::format("{:.{}f}", mean, decimals);
  return fmt::format("{:.{}f} ± {:.{}f}", mean, decimals, *deviation, decimals);
}

}  // namespace flowdarts::report
