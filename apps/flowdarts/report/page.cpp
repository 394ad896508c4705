#include "page.hpp"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <flowdarts/pipeline/run_directory/progress.hpp>
#include <flowdarts/spaces/support/error.hpp>
#include <flowdarts/spaces/support/version.hpp>
#include <functional>
#include <iterator>
#include <optional>
#include <utility>

#include "figures.hpp"
#include "groups.hpp"

namespace flowdarts::report {
namespace {

using std::back_inserter;
using Row = std::vector<std::string>;

/// Texts are escaped here. Columns in which no row has anything are left out.
std::string table_html(const Row& head, const std::vector<Row>& rows) {
  std::vector<std::size_t> columns;
  for (std::size_t i = 0; i < head.size(); ++i) {
    if (std::ranges::any_of(rows, [&](const Row& row) { return !row[i].empty(); })) columns.push_back(i);
  }
  std::string html = "<div class=\"scroll\" tabindex=\"0\"><table>\n<thead><tr>";
  for (const std::size_t i : columns) html += "<th scope=\"col\">" + escape_html(head[i]) + "</th>";
  html += "</tr></thead>\n<tbody>\n";
  for (const Row& row : rows) {
    html += "<tr>";
    for (const std::size_t i : columns) {
      const std::string text = escape_html(row[i]);
      html += i == columns.front() ? "<th scope=\"row\">" + text + "</th>" : "<td>" + text + "</td>";
    }
    html += "</tr>\n";
  }
  return html + "</tbody>\n</table></div>\n";
}

/// Names and values; those without a value are left out.
std::string list_html(const std::vector<std::pair<std::string, std::string>>& items) {
  std::string html = "<dl>\n";
  for (const auto& [name, value] : items) {
    if (value.empty()) continue;
    html += "<dt>" + escape_html(name) + "</dt><dd>" + escape_html(value) + "</dd>\n";
  }
  return html + "</dl>\n";
}

constexpr std::array data_sets{"cifar10", "cifar100", "imagenet16_120"};

std::optional<double> true_accuracy(const Run& run, const std::string& data_set) {
  const Epoch* epoch = run.derived();
  if (epoch == nullptr) return std::nullopt;
  const auto found = epoch->true_accuracy.find(data_set);
  return found == epoch->true_accuracy.end() ? std::nullopt : std::optional(found->second);
}

std::string epochs_text(const Run& run) {
  const std::string planned = run.option("run", "epochs");
  return std::to_string(run.epochs.back().number) + (planned.empty() ? "" : " of " + planned);
}

std::string collapse_text(const Run& run) {
  const Epoch* epoch = run.derived();
  if (epoch == nullptr || !epoch->collapse) return "";
  return (epoch->collapse->collapsed ? "yes: " : "no: ") + epoch->collapse->reason;
}

std::optional<double> last(const Run& run, const std::string& split, std::optional<double> Split::*member) {
  return run.epochs.back().split(split).*member;
}

std::string samples_text(const Run& run) {
  std::string text;
  for (const auto& [split, name] : {std::pair{"train", "T"}, {"val", "V"}}) {
    const auto samples = last(run, split, &Split::samples);
    if (!samples) continue;
    text += (text.empty() ? "" : ", ") + std::string(name) + " " + format_count(static_cast<std::int64_t>(*samples));
  }
  return text;
}

std::optional<double> seconds_of(const Run& run) {
  double sum = 0;
  bool any = false;
  for (const Epoch& epoch : run.epochs) {
    const auto found = epoch.seconds.find("epoch");
    if (found == epoch.seconds.end()) continue;
    sum += found->second;
    any = true;
  }
  return any ? std::optional(sum) : std::nullopt;
}

std::string duration_text(const Run& run) {
  const auto seconds = seconds_of(run);
  return seconds ? format_duration(*seconds) : "";
}

std::string true_accuracies_text(const Run& run) {
  std::string text;
  for (const char* set : data_sets) {
    if (const auto accuracy = true_accuracy(run, set)) {
      text += fmt::format("{}{} {:.2f} %", text.empty() ? "" : ", ", data_set_title(set), *accuracy);
    }
  }
  return text;
}

std::string percent(std::optional<double> part, int decimals = 1) {
  return part ? fmt::format("{:.{}f}", 100 * *part, decimals) : "";
}

/// After the last epoch, and the best of all.
std::string test_accuracy_text(const Run& run) {
  const auto accuracy = last(run, "test", &Split::accuracy);
  if (!accuracy) return "";
  const Epoch* best = &run.epochs.front();
  for (const Epoch& epoch : run.epochs) {
    if (epoch.split("test").accuracy > best->split("test").accuracy) best = &epoch;
  }
  return fmt::format("{} %; the best {} %, after epoch {}", percent(accuracy, 2),
                     percent(best->split("test").accuracy, 2), best->number);
}

std::string count_text(std::optional<double> count) {
  return count ? format_count(std::llround(*count)) : "";
}

/// The architecture in words.
std::string genotype_html(const Run& run) {
  const std::string genotype = run.architecture();
  if (genotype.empty()) return run.is_training() ? "" : "<p>No architecture yet: none was measured.</p>\n";
  const std::string verdict = collapse_text(run);
  return "<pre class=\"genotype\">" + escape_html(genotype) + "</pre>\n" +
         (verdict.empty() ? "" : "<p>Collapse " + escape_html(verdict) + ".</p>\n");
}

std::string time_table(const Run& run) {
  std::vector<std::pair<std::string, double>> sums;
  for (const Epoch& epoch : run.epochs) {
    for (const auto& [stage, seconds] : epoch.seconds) {
      const auto found = std::ranges::find(sums, stage, &std::pair<std::string, double>::first);
      if (found == sums.end()) {
        sums.emplace_back(stage, seconds);
      } else {
        found->second += seconds;
      }
    }
  }
  std::ranges::stable_sort(sums, std::greater{}, &std::pair<std::string, double>::second);
  const double whole = seconds_of(run).value_or(0);
  std::vector<Row> rows;
  for (const auto& [stage, seconds] : sums) {
    if (seconds == 0) continue;
    const std::string name = stage == "epoch" ? "whole epochs" : stage_name(stage);
    rows.push_back({name, fmt::format("{:.2f}", seconds), whole > 0 ? percent(seconds / whole) : "",
                    is_beside_others(stage) ? "beside the others" : ""});
  }
  return rows.empty() ? "" : table_html({"stage", "seconds", "% of the epochs", ""}, rows);
}

std::string config_html(const Run& run) {
  std::string html = "<div class=\"config\">\n";
  for (const ConfigSection& section : run.config) {
    html += "<section><h3>" + escape_html(section.name) + "</h3>\n" + list_html(section.options) + "</section>\n";
  }
  return html + "</div>\n";
}

/// "bdp-darts on nas-bench-201", "training of darts"
std::string kind_of(const Run& run) {
  return run.method() + (run.is_training() ? " of " : " on ") + run.space();
}

std::vector<Figure> joined(std::vector<Figure> first, std::vector<Figure> second) {
  std::ranges::move(second, back_inserter(first));
  return first;
}

Page page_of_one(std::span<const Run> runs) {
  const Run& run = runs.front();
  Page page{.title = kind_of(run) + ": " + run.name};
  page.sections.push_back({.heading = "Summary",
                           .html = list_html({{"run", run.path},
                                              {"method", run.method()},
                                              {"space", run.space()},
                                              {"data set", run.option("data", "dataset")},
                                              {"seed", run.option("run", "seed")},
                                              {"epochs", epochs_text(run)},
                                              {"time", duration_text(run)},
                                              {"samples left", run.is_training() ? "" : samples_text(run)},
                                              {"test accuracy", test_accuracy_text(run)},
                                              {"params", count_text(run.result.params)},
                                              {"MACs", count_text(run.result.macs)},
                                              {"true accuracy", true_accuracies_text(run)},
                                              {"collapse", collapse_text(run)}})});
  if (!run.space().empty()) {
    page.sections.push_back({.heading = "Architecture", .html = genotype_html(run), .figures = cell_drawings(run, "")});
    page.sections.push_back({.heading = "Ops", .figures = heat_maps(run, "")});
  }
  page.sections.push_back({.heading = "Curves", .figures = curves(runs, group_runs(runs))});
  page.sections.push_back({.heading = "Ops by epoch", .figures = importance_curves(run, "")});
  page.sections.push_back({.heading = "Time", .html = time_table(run), .figures = stage_times(runs)});
  page.sections.push_back({.heading = "Configuration", .html = config_html(run), .folded = true});
  return page;
}

/// Mean and deviation over the members that have the value.
std::string mean_text(std::span<const Run> runs, const Group& group,
                      const std::function<std::optional<double>(const Run&)>& value, int decimals) {
  std::vector<double> values;
  for (const std::size_t i : group.members) {
    if (const auto one = value(runs[i])) values.push_back(*one);
  }
  return values.empty() ? "" : mean_deviation(values).text(decimals);
}

std::string groups_table(std::span<const Run> runs, std::span<const Group> groups) {
  Row head{"method", "runs", "seeds"};
  for (const char* set : data_sets) head.push_back("true accuracy, " + data_set_title(set) + " (%)");
  head.insert(head.end(), {"accuracy on V (%)", "loss on V", "test accuracy (%)", "samples left in T", "in V",
                           "time (s)", "collapsed"});
  std::vector<Row> rows;
  for (const Group& group : groups) {
    std::string seeds;
    int judged = 0, collapsed = 0;
    for (const std::size_t i : group.members) {
      seeds += (seeds.empty() ? "" : ", ") + runs[i].option("run", "seed");
      const Epoch* epoch = runs[i].derived();
      if (epoch == nullptr || !epoch->collapse) continue;
      ++judged;
      collapsed += epoch->collapse->collapsed ? 1 : 0;
    }
    const auto mean = [&](const std::function<std::optional<double>(const Run&)>& value, int decimals) {
      return mean_text(runs, group, value, decimals);
    };
    const auto mean_of_last = [&](const char* split, std::optional<double> Split::*member, double factor,
                                  int decimals) {
      return mean(
          [&](const Run& run) -> std::optional<double> {
            const auto value = last(run, split, member);
            return value ? std::optional(factor * *value) : std::nullopt;
          },
          decimals);
    };
    Row row{group.name, std::to_string(group.members.size()), seeds};
    for (const char* set : data_sets) row.push_back(mean([&](const Run& run) { return true_accuracy(run, set); }, 2));
    row.push_back(mean_of_last("val", &Split::accuracy, 100, 1));
    row.push_back(mean_of_last("val", &Split::loss, 1, 3));
    row.push_back(mean_of_last("test", &Split::accuracy, 100, 2));
    row.push_back(mean_of_last("train", &Split::samples, 1, 0));
    row.push_back(mean_of_last("val", &Split::samples, 1, 0));
    row.push_back(mean(seconds_of, 1));
    row.push_back(judged == 0 ? "" : fmt::format("{} of {}", collapsed, judged));
    rows.push_back(std::move(row));
  }
  return table_html(head, rows);
}

std::string runs_table(std::span<const Run> runs) {
  Row head{"run", "kind", "seed", "epochs"};
  for (const char* set : data_sets) head.push_back("true accuracy, " + data_set_title(set) + " (%)");
  head.insert(head.end(), {"accuracy on V (%)", "test accuracy (%)", "samples left", "time", "collapse", "genotype"});
  std::vector<Row> rows;
  for (const Run& run : runs) {
    Row row{run.name, kind_of(run), run.option("run", "seed"), epochs_text(run)};
    for (const char* set : data_sets) {
      const auto accuracy = true_accuracy(run, set);
      row.push_back(accuracy ? fmt::format("{:.2f}", *accuracy) : "");
    }
    row.insert(row.end(), {percent(last(run, "val", &Split::accuracy)), percent(last(run, "test", &Split::accuracy), 2),
                           samples_text(run), duration_text(run), collapse_text(run), run.architecture()});
    rows.push_back(std::move(row));
  }
  return table_html(head, rows);
}

Page page_of_several(std::span<const Run> runs) {
  const std::vector<Group> groups = group_runs(runs);
  Page page{.title = fmt::format("{} runs", runs.size())};
  page.sections.push_back(
      {.heading = "Mean and deviation over the seeds",
       .html = "<p>After the last epoch of each run; ± is the deviation of the sample (n - 1).</p>\n" +
               groups_table(runs, groups)});
  page.sections.push_back({.heading = "Runs", .html = runs_table(runs)});
  page.sections.push_back({.heading = "Curves", .figures = curves(runs, groups)});
  page.sections.push_back({.heading = "Time", .figures = stage_times(runs)});
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const Run& run = runs[i];
    const std::string prefix = fmt::format("run-{}-", i + 1);
    page.sections.push_back(
        {.heading = run.name + ": " + kind_of(run),
         .html = genotype_html(run),
         .figures = joined(joined(cell_drawings(run, prefix), heat_maps(run, prefix)), importance_curves(run, prefix)),
         .html_below = config_html(run),
         .folded = true});
  }
  return page;
}

constexpr std::string_view style = R"(
:root { color-scheme: light dark; --ink: #1a1a1a; --paper: #ffffff; --faint: #5c5c5c; --rule: #d8d8d8; }
body { margin: 0 auto; padding: 1rem; max-width: 62rem; color: var(--ink); background: var(--paper);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; } h2, summary { font-size: 1.2rem; font-weight: 600; margin: 2rem 0 0.5rem; } h3 { font-size: 1rem; margin: 0; }
summary { cursor: pointer; } footer { margin-top: 3rem; color: var(--faint); font-size: 0.85rem; }
dl { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: 0.1rem 1rem; margin: 0.5rem 0; }
dt { color: var(--faint); } dd { margin: 0; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-size: 0.85rem; }
th, td { padding: 0.25rem 0.6rem; border-bottom: 1px solid var(--rule); text-align: left; vertical-align: top; }
thead th { color: var(--faint); font-weight: 600; } tbody th { font-weight: 400; } tbody th, td { white-space: nowrap; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; font-size: 0.9rem; }
.config { display: grid; grid-template-columns: repeat(auto-fill, minmax(19rem, 1fr)); gap: 1rem; font-size: 0.85rem; }
.figures { display: flex; flex-wrap: wrap; gap: 1.5rem; align-items: flex-end; }
figure { margin: 0; max-width: 100%; break-inside: avoid; }
figure svg { display: block; max-width: 100%; height: auto; background: #ffffff; }
figure.wide { overflow-x: auto; } figure.wide svg { max-width: none; }
figcaption { font-size: 0.85rem; color: var(--faint); }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e6e6; --paper: #121212; --faint: #a8a8a8; --rule: #3a3a3a; }
  figure svg { filter: invert(0.93) hue-rotate(180deg); }
}
@media print { body { max-width: none; } figure.wide svg { max-width: 100%; } td { white-space: normal; } }
)";

std::string figure_html(const Figure& figure, const std::string& drawing) {
  // gnuplot leaves the size to the page.
  const std::string size = figure.width > 0 ? fmt::format(" style=\"width: {}px\"", figure.width) : "";
  return fmt::format("<figure id=\"{}\"{}{}>\n{}\n<figcaption>{}</figcaption>\n</figure>\n", figure.name,
                     figure.wide ? " class=\"wide\" tabindex=\"0\"" : "", size,
                     inline_svg(drawing, figure.description, figure.name + "."), escape_html(figure.title));
}

}  // namespace

Page make_page(std::span<const Run> runs) {
  Page page = runs.size() == 1 ? page_of_one(runs) : page_of_several(runs);
  std::erase_if(page.sections, [](const Section& section) {
    return section.html.empty() && section.figures.empty() && section.html_below.empty();
  });
  return page;
}

std::string to_html(const Page& page, const std::map<std::string, std::string>& drawings) {
  const std::string title = escape_html(page.title);
  std::string html;
  // The policy forbids whatever the page might ask for.
  fmt::format_to(
      back_inserter(html),
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<title>{}</title>\n<style>{}</style>\n</head>\n<body>\n<main>\n<h1>{}</h1>\n",
      title, style, title);
  for (const Section& section : page.sections) {
    const std::string heading = escape_html(section.heading);
    html +=
        section.folded ? "<details>\n<summary>" + heading + "</summary>\n" : "<section>\n<h2>" + heading + "</h2>\n";
    html += section.html;
    if (!section.figures.empty()) {
      html += "<div class=\"figures\">\n";
      for (const Figure& figure : section.figures) html += figure_html(figure, drawings.at(figure.name));
      html += "</div>\n";
    }
    html += section.html_below;
    html += section.folded ? "</details>\n" : "</section>\n";
  }
  fmt::format_to(back_inserter(html), "</main>\n<footer>flowdarts {}</footer>\n</body>\n</html>\n", version_text);
  return html;
}

}  // namespace flowdarts::report
