#include <flowdarts/spaces/export/published_names.hpp>
#include <stdexcept>

namespace flowdarts {

Weights renamed(const Weights& weights, const ModuleNames& names) {
  Weights result;
  for (const auto& [name, tensor] : weights) {
    const std::size_t dot = name.rfind('.');
    const auto module = names.find(name.substr(0, dot));
    if (module == names.end()) throw std::logic_error("no published name is known of the module of " + name);
    if (!result.emplace(module->second + name.substr(dot), tensor).second) {
      throw std::logic_error("the published name " + module->second + name.substr(dot) + " belongs to two tensors");
    }
  }
  return result;
}

std::set<std::string> batch_counters(const Weights& weights) {
  const std::string statistic = ".running_mean";
  std::set<std::string> counters;
  for (const auto& [name, tensor] : weights) {
    if (name.ends_with(statistic)) {
      counters.insert(name.substr(0, name.size() - statistic.size()) + ".num_batches_tracked");
    }
  }
  return counters;
}

}  // namespace flowdarts
