#include "figures.hpp"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <flowdarts/spaces/support/error.hpp>
#include <functional>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "charts.hpp"
#include "op_tables.hpp"

namespace flowdarts::report {
namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

using Quantity = std::function<std::optional<double>(const Epoch&)>;

using Points = std::vector<std::pair<double, double>>;

Points points_of(const Run& run, const Quantity& quantity) {
  Points points;
  for (const Epoch& epoch : run.epochs) {
    if (const auto value = quantity(epoch)) points.emplace_back(epoch.number, *value);
  }
  return points;
}

/// At each epoch over the lines that have it.
Points mean_of(const std::vector<Line>& lines) {
  std::map<double, std::pair<double, int>> sums;
  for (const Line& line : lines) {
    for (const auto& [x, y] : line.points) {
      sums[x].first += y;
      ++sums[x].second;
    }
  }
  Points points;
  for (const auto& [x, sum] : sums) points.emplace_back(x, sum.first / sum.second);
  return points;
}

/// A line for a group of one, a faint line a run and their mean for a group of more.
std::vector<Line> lines_of(std::span<const Run> runs, std::span<const Group> groups, const Quantity& quantity) {
  std::vector<Line> lines;
  for (std::size_t colour = 0; colour < groups.size(); ++colour) {
    const Group& group = groups[colour];
    std::vector<Line> members;
    for (const std::size_t i : group.members) {
      Points points = points_of(runs[i], quantity);
      if (!points.empty()) members.push_back({"", std::move(points), colour, true});
    }
    if (members.empty()) continue;
    std::string name = group.name;
    if (members.size() > 1) name += fmt::format(", mean of {}", members.size());
    Line line{std::move(name), mean_of(members), colour};
    if (members.size() > 1) std::ranges::move(members, std::back_inserter(lines));
    lines.push_back(std::move(line));
  }
  return lines;
}

std::string slug(const std::string& text) {
  std::string name;
  for (const char c : text) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (letter) {
      name += static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
    } else if (!name.empty() && name.back() != '-') {
      name += '-';
    }
  }
  while (name.ends_with('-')) name.pop_back();
  return name;
}

struct Measured {
  std::string name;  // "T", "loss on T"
  Quantity quantity;
};

/// The panels of several quantities, those without data left out.
std::vector<Panel> panels_of(std::span<const Run> runs, std::span<const Group> groups,
                             const std::vector<Measured>& measured, const std::string& y_label) {
  std::vector<Panel> panels;
  for (const Measured& one : measured) {
    std::vector<Line> lines = lines_of(runs, groups, one.quantity);
    if (lines.empty()) continue;
    panels.push_back({.title = one.name, .x_label = "epoch", .y_label = y_label, .lines = std::move(lines)});
  }
  return panels;
}

/// One run's quantities in one panel.
std::vector<Panel> shared_panel(const Run& run, const std::vector<Measured>& measured, const std::string& y_label) {
  Panel panel{.title = "", .x_label = "epoch", .y_label = y_label, .lines = {}};
  for (std::size_t i = 0; i < measured.size(); ++i) {
    Points points = points_of(run, measured[i].quantity);
    if (!points.empty()) panel.lines.push_back({measured[i].name, std::move(points), i});
  }
  if (panel.lines.empty()) return {};
  return {std::move(panel)};
}

std::vector<Measured> of_splits(std::optional<double> Split::*member, double factor = 1) {
  std::vector<Measured> measured;
  constexpr std::array<std::pair<const char*, const char*>, 3> splits{
      {{"train", "training (T)"}, {"val", "validation (V)"}, {"test", "test"}}};
  for (const auto& [key, title] : splits) {
    measured.push_back({title, [key = std::string(key), member, factor](const Epoch& epoch) -> std::optional<double> {
                          const auto value = epoch.split(key).*member;
                          return value ? std::optional(factor * *value) : std::nullopt;
                        }});
  }
  return measured;
}

bool any_run_prunes(std::span<const Run> runs) {
  return std::ranges::any_of(runs, [](const Run& run) {
    for (const char* split : {"train", "val"}) {
      for (const Epoch& epoch : run.epochs) {
        if (epoch.split(split).samples != run.epochs.front().split(split).samples) return true;
      }
    }
    return false;
  });
}

/// `make`'s value; what it refuses gets told `where` it is from.
template <class Make>
auto told_where(const std::string& where, const Make& make) {
  try {
    return make();
  } catch (const InputError& reason) {
    throw InputError(where + ": " + reason.what());
  }
}

std::string place_of(const Run& run, const Epoch& epoch, const char* field) {
  return fmt::format("{}/metrics.jsonl: epoch {}: \"{}\"", run.path, epoch.number, field);
}

/// The tables of a field of an epoch's row.
std::vector<OpTable> tables_of(const Run& run, const Epoch& epoch, const char* field, const Matrices& matrices,
                               const std::string& genotype = "") {
  return told_where(place_of(run, epoch, field), [&] { return op_tables(run.space(), matrices, genotype); });
}

/// What ranked the ops of a run at an epoch.
struct Ranking {
  std::string name;   // of files
  std::string title;  // "Op weights"
  std::int64_t epoch = 0;
  int decimals = -1;
  bool low_is_important = false;
  std::vector<OpTable> tables;
};

/// The op weights, where alpha makes them, and the importance, where one was measured. Ops that are not in `ops_left`,
/// where there is one, have no value.
std::vector<Ranking> rankings(const Run& run, const Epoch& epoch, const Matrices& ops_left,
                              const std::string& genotype) {
  std::vector<Ranking> all;
  if (!epoch.alpha.empty() && !epoch.op_weights.empty()) {
    all.push_back({"op-weights", "Op weights", epoch.number, 3, false,
                   tables_of(run, epoch, "op_weights", epoch.op_weights, genotype)});
  }
  if (epoch.importance) {
    const Importance& importance = *epoch.importance;
    all.push_back({"importance",
                   "Importance " + importance.measure + (importance.low_is_important ? " (low is important)" : ""),
                   importance.epoch, -1, importance.low_is_important,
                   tables_of(run, epoch, "importance", importance.values, genotype)});
  }
  if (!ops_left.empty()) {
    const std::vector<OpTable> left = tables_of(run, epoch, "ops_left", ops_left);
    for (Ranking& ranking : all) remove_gone(ranking.tables, left);
  }
  return all;
}

bool has_values(const OpTable& table) {
  return std::ranges::any_of(table.values, [](double value) { return std::isfinite(value); });
}

std::string of_table(const OpTable& table) {
  return table.name.empty() ? "" : ", " + table.name;
}

std::string name_with(const std::string& name, const OpTable& table) {
  return table.name.empty() ? name : name + "-" + slug(table.name);
}

/// Epochs that each op was in the supernet, up to `last`.
std::vector<OpTable> epochs_there(const Run& run, const Epoch& last, const std::string& genotype) {
  std::vector<OpTable> tables;
  for (const Epoch& epoch : run.epochs) {
    if (epoch.number > last.number || epoch.ops_left.empty()) continue;
    std::vector<OpTable> left = tables_of(run, epoch, "ops_left", epoch.ops_left, genotype);
    if (tables.empty()) {
      tables = left;
      // It was there before the row that says it is gone.
      for (OpTable& table : tables) {
        for (double& value : table.values) value = std::isnan(value) ? nan : static_cast<double>(last.number);
      }
    }
    for (std::size_t i = 0; i < tables.size(); ++i) {
      for (std::size_t op = 0; op < tables[i].values.size(); ++op) {
        double& value = tables[i].values[op];
        if (left[i].values[op] == 0 && epoch.number < value) value = static_cast<double>(epoch.number);
      }
    }
  }
  return tables;
}

/// The curves of one table over the run: the mean over its rows, then each row.
struct OpCurves {
  std::string title;
  OpTable shape;
  std::map<double, std::vector<double>> values;  // by epoch
};

Figure draw_op_curves(const std::string& name, const OpCurves& curves) {
  const std::size_t rows = curves.shape.rows.size(), columns = curves.shape.columns.size();
  std::vector<Panel> panels(rows + 1);
  for (std::size_t row = 0; row <= rows; ++row) {
    Panel& panel = panels[row];
    panel = {.title = row == 0 ? "mean" : curves.shape.rows[row - 1], .x_label = "epoch", .y_label = ""};
    for (std::size_t column = 0; column < columns; ++column) {
      Line line{curves.shape.columns[column], {}, column};
      for (const auto& [epoch, values] : curves.values) {
        if (row > 0) {
          line.points.emplace_back(epoch, values[(row - 1) * columns + column]);
          continue;
        }
        double sum = 0;
        int count = 0;
        for (std::size_t i = 0; i < rows; ++i) {
          const double value = values[i * columns + column];
          if (!std::isfinite(value)) continue;
          sum += value;
          ++count;
        }
        line.points.emplace_back(epoch, count == 0 ? nan : sum / count);
      }
      panel.lines.push_back(std::move(line));
    }
  }
  return line_chart(name, curves.title + " by epoch" + of_table(curves.shape), panels, 3);
}

constexpr std::array<std::pair<const char*, const char*>, 9> known_stages{{{"weight_step", "weight step"},
                                                                           {"arch_step", "arch step"},
                                                                           {"device_waiting", "device waiting"},
                                                                           {"end_of_epoch", "end of epoch"},
                                                                           {"test", "test"},
                                                                           {"reading", "reading"},
                                                                           {"loading", "loading"},
                                                                           {"prune_train", "pruning T"},
                                                                           {"prune_val", "pruning V"}}};
constexpr const char* rest = "other";

double seconds_of(const Epoch& epoch, const std::string& stage) {
  const auto found = epoch.seconds.find(stage);
  return found == epoch.seconds.end() ? 0 : found->second;
}

}  // namespace

std::string stage_name(const std::string& stage) {
  for (const auto& [key, name] : known_stages) {
    if (key == stage) return name;
  }
  std::string name = stage;
  std::ranges::replace(name, '_', ' ');
  return name;
}

bool is_beside_others(const std::string& stage) {
  return stage == "reading" || stage == "loading" || stage == "prune_train" || stage == "prune_val";
}

std::string data_set_title(const std::string& name) {
  if (name == "cifar10") return "CIFAR-10";
  if (name == "cifar100") return "CIFAR-100";
  if (name == "imagenet16_120") return "ImageNet16-120";
  return name;
}

std::vector<Figure> curves(std::span<const Run> runs, std::span<const Group> groups) {
  std::vector<Figure> figures;
  const auto add = [&](const std::string& name, const std::string& title, const std::vector<Panel>& panels,
                       std::size_t columns) {
    if (!panels.empty()) figures.push_back(line_chart(name, title, panels, columns));
  };
  const auto add_splits = [&](const std::string& name, const std::string& title, const std::string& y_label,
                              const std::vector<Measured>& measured) {
    add(name, title,
        runs.size() == 1 ? shared_panel(runs[0], measured, y_label) : panels_of(runs, groups, measured, y_label), 2);
  };
  add_splits("loss", "Loss", "cross-entropy (nats)", of_splits(&Split::loss));
  std::vector<Measured> accuracies = of_splits(&Split::accuracy, 100);
  accuracies.push_back({"test, top 5", [](const Epoch& epoch) -> std::optional<double> {
                          const auto top5 = epoch.split("test").top5;
                          return top5 ? std::optional(100 * *top5) : std::nullopt;
                        }});
  add_splits("accuracy", "Accuracy", "accuracy (%)", accuracies);

  std::vector<Measured> true_accuracies;
  for (const char* set : {"cifar10", "cifar100", "imagenet16_120"}) {
    true_accuracies.push_back(
        {data_set_title(set), [set = std::string(set)](const Epoch& epoch) -> std::optional<double> {
           const auto found = epoch.true_accuracy.find(set);
           return found == epoch.true_accuracy.end() ? std::nullopt : std::optional(found->second);
         }});
  }
  add("true-accuracy", "True test accuracy of the derived cell (NAS-Bench-201)",
      panels_of(runs, groups, true_accuracies, "test accuracy (%)"), 3);

  if (any_run_prunes(runs)) {
    add_splits("samples", "Samples left", "samples", of_splits(&Split::samples));
    add_splits("balance", "Class-balance degree", "b", of_splits(&Split::balance));
  }
  const std::vector<Measured> eigenvalues{{"dominant", [](const Epoch& epoch) { return epoch.hessian_dominant; }},
                                          {"largest", [](const Epoch& epoch) { return epoch.hessian_largest; }}};
  add_splits("hessian", "Eigenvalues of the Hessian of the validation loss with respect to alpha", "eigenvalue",
             eigenvalues);
  return figures;
}

std::vector<Figure> stage_times(std::span<const Run> runs) {
  std::set<std::string> found;
  for (const Run& run : runs) {
    for (const Epoch& epoch : run.epochs) {
      for (const auto& [stage, seconds] : epoch.seconds) {
        if (stage != "epoch" && !is_beside_others(stage) && seconds > 0) found.insert(stage);
      }
    }
  }
  if (found.empty()) return {};
  std::vector<std::string> stages;
  for (const auto& [stage, name] : known_stages) {
    if (found.erase(stage) > 0) stages.emplace_back(stage);
  }
  stages.insert(stages.end(), found.begin(), found.end());
  std::vector<std::string> parts;
  for (const std::string& stage : stages) parts.push_back(stage_name(stage));
  parts.emplace_back(rest);

  const auto add = [&](Bar& bar, const Epoch& epoch) {
    double sum = 0;
    for (std::size_t i = 0; i < stages.size(); ++i) {
      bar.parts[i] += seconds_of(epoch, stages[i]);
      sum += seconds_of(epoch, stages[i]);
    }
    // On a GPU the stages' times are its own clock's, which overlap what the host does.
    bar.parts.back() += std::max(0.0, seconds_of(epoch, "epoch") - sum);
  };
  std::vector<Bar> bars;
  for (const Run& run : runs) {
    Bar whole{run.name, std::vector<double>(parts.size())};
    for (const Epoch& epoch : run.epochs) {
      add(whole, epoch);
      if (runs.size() > 1) continue;
      add(bars.emplace_back(Bar{std::to_string(epoch.number), std::vector<double>(parts.size())}), epoch);
    }
    if (runs.size() > 1) bars.push_back(std::move(whole));
  }
  return {runs.size() == 1 ? stacked_bars("time", "Time by stage", "epoch", "seconds", parts, bars)
                           : stacked_bars("time", "Time by stage", "run", "seconds", parts, bars)};
}

std::vector<Figure> cell_drawings(const Run& run, const std::string& prefix) {
  const std::string genotype = run.architecture();
  if (genotype.empty()) return {};
  const Epoch* epoch = run.derived();
  const std::string where = epoch == nullptr ? run.path + "/result.json" : place_of(run, *epoch, "genotype");
  const std::string title =
      epoch == nullptr ? "The architecture" : fmt::format("The architecture derived after epoch {}", epoch->number);
  return {{.name = prefix + "architecture",
           .title = title,
           .description = title + ": " + genotype,
           .drawer = Drawer::graphviz,
           .source = told_where(where, [&] { return genotype_dot(run.space(), genotype); }),
           .wide = run.space() == "mobilenet"}};
}

std::vector<Figure> heat_maps(const Run& run, const std::string& prefix) {
  const Epoch* derived = run.derived();
  const Epoch& epoch = derived == nullptr ? run.epochs.back() : *derived;
  const std::string genotype = epoch.genotype.value_or("");
  std::vector<Figure> figures;
  const auto add = [&](const std::string& name, const std::string& title, const OpTable& table, int decimals,
                       bool low_is_dark) {
    const bool framed = std::ranges::find(table.chosen, true) != table.chosen.end();
    figures.push_back(heat_map(prefix + name_with(name, table),
                               title + of_table(table) + (framed ? ", chosen ops framed" : ""), table, decimals,
                               low_is_dark));
  };
  for (const Ranking& ranking : rankings(run, epoch, epoch.ops_left, genotype)) {
    for (const OpTable& table : ranking.tables) {
      if (!has_values(table)) continue;
      add(ranking.name, fmt::format("{} after epoch {}", ranking.title, ranking.epoch), table, ranking.decimals,
          ranking.low_is_important);
    }
  }
  for (const OpTable& table : epochs_there(run, epoch, genotype)) {
    add("ops-left", "Epochs that each op was in the supernet", table, 0, false);
  }
  return figures;
}

std::vector<Figure> importance_curves(const Run& run, const std::string& prefix) {
  std::map<std::string, OpCurves> all;  // by the name of the figure
  const Matrices* ops_left = &run.epochs.front().ops_left;
  for (const Epoch& epoch : run.epochs) {
    // What an epoch took out was still there when it was measured.
    const Matrices& before = *std::exchange(ops_left, &epoch.ops_left);
    for (Ranking& ranking : rankings(run, epoch, before, "")) {
      for (OpTable& table : ranking.tables) {
        if (table.columns.size() < 2 || !has_values(table)) continue;
        OpCurves& curves = all[prefix + name_with(ranking.name + "-by-epoch", table)];
        curves.title = ranking.title;
        curves.values.emplace(static_cast<double>(ranking.epoch), table.values);  // later rows repeat it
        curves.shape = std::move(table);
      }
    }
  }
  std::vector<Figure> figures;
  for (const auto& [name, curves] : all) {
    if (curves.values.size() > 1) figures.push_back(draw_op_curves(name, curves));
  }
  return figures;
}

}  // namespace flowdarts::report
