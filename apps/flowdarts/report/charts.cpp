#include "charts.hpp"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>
#include <limits>
#include <optional>
#include <string_view>

namespace flowdarts::report {
namespace {

using std::back_inserter;

/// Told apart by those who see few colours, too (Okabe and Ito, "Color universal design", 2008); lines also differ in
/// their points.
constexpr std::array<std::string_view, 8> colours{"0072B2", "D55E00", "009E73", "CC79A7",
                                                  "E69F00", "56B4E9", "404040", "8C6D31"};
constexpr std::array points{7, 5, 9, 11, 13, 6, 4, 8};

constexpr int legend_row = 22;  // pixels

std::string number(double value) {
  return std::isfinite(value) ? fmt::format("{}", value) : "NaN";
}

/// "2.3 to 1.76" of a line's first and last finite value; none where it has no such value.
std::optional<std::string> range_text(const Line& line) {
  std::optional<double> first, last;
  for (const auto& [x, y] : line.points) {
    if (!std::isfinite(y)) continue;
    if (!first) first = y;
    last = y;
  }
  if (!first) return std::nullopt;
  return fmt::format("{:.4g} to {:.4g}", *first, *last);
}

bool has_points(const Panel& panel) {
  return std::ranges::any_of(panel.lines, [](const Line& line) { return range_text(line).has_value(); });
}

std::string style_of(const Line& line) {
  const std::string_view colour = colours[line.colour % colours.size()];
  if (line.faint) return fmt::format("with lines lw 1 lc rgb '#A0{}'", colour);
  const std::size_t every = std::max<std::size_t>(1, line.points.size() / 12);
  return fmt::format("with linespoints lw 2 lc rgb '#{}' pt {} ps 0.6 pi {}", colour,
                     points[line.colour % points.size()], every);
}

/// Where something lies in the figure, in pixels, y from above.
struct Room {
  int left, top, width, height;
};

/// The plot itself within a panel's room: beside it are labels and tics.
std::string margins(const Room& plot, const Figure& figure) {
  const double width = figure.width, height = figure.height;
  return fmt::format(
      "set lmargin at screen {:.4f}\nset rmargin at screen {:.4f}\nset tmargin at screen {:.4f}\nset bmargin at screen "
      "{:.4f}\n",
      plot.left / width, (plot.left + plot.width) / width, 1 - plot.top / height,
      1 - (plot.top + plot.height) / height);
}

/// A step of 1, 2 or 5 times a power of ten that parts a range into `parts` or fewer.
double tic_step(double range, int parts) {
  const double least = range / parts;
  const double power = std::pow(10, std::floor(std::log10(least)));
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (factor * power >= least) return factor * power;
  }
  return 10 * power;
}

std::string panel_script(const Panel& panel, const Room& room, const Figure& figure, std::size_t number_of_panel) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  std::string script;
  const auto out = back_inserter(script);
  double left = infinity, right = -infinity, low = infinity, high = -infinity;
  for (std::size_t i = 0; i < panel.lines.size(); ++i) {
    fmt::format_to(out, "$p{}l{} << EOD\n", number_of_panel, i);
    for (const auto& [x, y] : panel.lines[i].points) {
      fmt::format_to(out, "{} {}\n", number(x), number(y));
      if (!std::isfinite(y)) continue;
      left = std::min(left, x);
      right = std::max(right, x);
      low = std::min(low, y);
      high = std::max(high, y);
    }
    fmt::format_to(out, "EOD\n");
  }
  // A single point, or a flat line, needs a range of its own.
  if (left == right) left -= 1, right += 1;
  const double room_above = low == high ? std::max(std::abs(low) / 10, 1e-9) : (high - low) / 20;
  low -= room_above;
  high += room_above;
  const Room plot{room.left + 66, room.top + (panel.title.empty() ? 8 : 28), room.width - 80,
                  room.height - 56 - (panel.title.empty() ? 8 : 28)};
  fmt::format_to(
      out,
      "{}set title {} offset 0,-0.5\nset xlabel {} offset 0,0.3\nset ylabel {}\nset xrange [{}:{}]\nset yrange "
      "[{}:{}]\nset xtics {}\nset ytics {}\nset format y '%g'\nplot ",
      margins(plot, figure), gnuplot_string(panel.title), gnuplot_string(panel.x_label), gnuplot_string(panel.y_label),
      left, right, low, high, std::max(1.0, tic_step(right - left, plot.width / 45)),
      tic_step(high - low, std::max(4, plot.height / 28)));
  for (std::size_t i = 0; i < panel.lines.size(); ++i) {
    fmt::format_to(out, "{}$p{}l{} using 1:2 {} notitle", i == 0 ? "" : ", ", number_of_panel, i,
                   style_of(panel.lines[i]));
  }
  fmt::format_to(out, "\n");
  return script;
}

/// Nothing but a legend.
std::string legend_script(const std::vector<Line>& lines, const Room& room, const Figure& figure, int columns) {
  std::string script = margins(room, figure);
  const auto out = back_inserter(script);
  fmt::format_to(out,
                 "unset title\nunset xlabel\nunset ylabel\nunset border\nunset tics\nunset grid\n"
                 "set key at screen 0.5,{:.4f} center center horizontal maxcols {} nobox\n"
                 "set xrange [0:1]\nset yrange [0:1]\nplot ",
                 1 - (room.top + room.height / 2.0) / figure.height, columns);
  for (std::size_t i = 0; i < lines.size(); ++i) {
    fmt::format_to(out, "{}NaN {} title {}", i == 0 ? "" : ", ", style_of(lines[i]), gnuplot_string(lines[i].name));
  }
  return script + "\n";
}

}  // namespace

std::string gnuplot_string(const std::string& text) {
  std::string quoted = "'";
  for (const char c : text) {
    if (c == '\'') quoted += '\'';
    quoted += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? ' ' : c;
  }
  return quoted + "'";
}

Figure line_chart(std::string name, std::string title, const std::vector<Panel>& panels, std::size_t columns) {
  columns = std::min(columns, panels.size());
  const auto rows = static_cast<int>((panels.size() + columns - 1) / columns);
  const int panel_width = columns < 3 ? 460 : 310;
  const int panel_height = columns < 3 ? 290 : 200;

  std::vector<Line> named;  // a line for each name, of whichever panel has it first
  std::size_t longest = 0;
  for (const Panel& panel : panels) {
    for (const Line& line : panel.lines) {
      if (line.name.empty() || std::ranges::find(named, line.name, &Line::name) != named.end()) continue;
      named.push_back(line);
      longest = std::max(longest, line.name.size());
    }
  }
  Figure figure{.name = std::move(name), .title = std::move(title), .width = panel_width * static_cast<int>(columns)};
  const int legend_columns = std::clamp(figure.width / (70 + 9 * static_cast<int>(longest)), 1, 8);
  const int legend_rows = named.size() < 2 ? 0 : (static_cast<int>(named.size()) + legend_columns - 1) / legend_columns;
  figure.height = panel_height * rows + legend_row * legend_rows;
  figure.source = "set multiplot\nset grid lc rgb '#DDDDDD'\nset tics nomirror scale 0.5\nset border 3\nunset key\n";
  std::string description;
  for (std::size_t i = 0; i < panels.size(); ++i) {
    if (!has_points(panels[i])) continue;
    const Room room{panel_width * static_cast<int>(i % columns), panel_height * static_cast<int>(i / columns),
                    panel_width, panel_height};
    figure.source += panel_script(panels[i], room, figure, i);
    // A picture of many panels would take pages to tell.
    if (panels.size() > 3) continue;
    for (const Line& line : panels[i].lines) {
      const auto range = range_text(line);
      if (line.name.empty() || !range) continue;
      description += (description.empty() ? ": " : "; ") + (panels.size() > 1 ? panels[i].title + ", " : "") +
                     line.name + " " + *range;
    }
  }
  if (legend_rows > 0) {
    const Room room{0, panel_height * rows, figure.width, legend_row * legend_rows};
    figure.source += legend_script(named, room, figure, legend_columns);
  }
  figure.source += "unset multiplot\n";
  figure.description = figure.title + description;
  return figure;
}

Figure heat_map(std::string name, std::string title, const OpTable& table, int decimals, bool low_is_dark) {
  const std::size_t rows = table.rows.size(), columns = table.columns.size();
  std::size_t longest = 0;
  for (const std::string& row : table.rows) longest = std::max(longest, row.size());
  const int left = 30 + 8 * static_cast<int>(longest), bottom = 40, top = 12, right = 12;
  Figure figure{.name = std::move(name),
                .title = std::move(title),
                .width = left + right + 96 * static_cast<int>(columns),
                .height = top + bottom + 30 * static_cast<int>(rows)};

  std::string values, gone, frames, row_names, column_names, chosen;
  double low = std::numeric_limits<double>::infinity(), high = -low;
  for (std::size_t row = 0; row < rows; ++row) {
    fmt::format_to(back_inserter(row_names), "{}{} {}", row == 0 ? "" : ", ", gnuplot_string(table.rows[row]), row);
    for (std::size_t column = 0; column < columns; ++column) {
      const double value = table.value(row, column);
      const bool is_value = std::isfinite(value);
      if (is_value) {
        low = std::min(low, value);
        high = std::max(high, value);
        const std::string text = decimals < 0 ? fmt::format("{:.3g}", value) : fmt::format("{:.{}f}", value, decimals);
        fmt::format_to(back_inserter(values), "{} {} {} {}\n", column, row, value, text);
      } else {
        fmt::format_to(back_inserter(gone), "{} {}\n", column, row);
      }
      if (!table.is_chosen(row, column)) continue;
      fmt::format_to(back_inserter(frames), "{} {}\n", column, row);
      fmt::format_to(back_inserter(chosen), "{}{} {}", chosen.empty() ? "; chosen: " : ", ", table.rows[row],
                     table.columns[column]);
    }
  }
  for (std::size_t column = 0; column < columns; ++column) {
    fmt::format_to(back_inserter(column_names), "{}{} {}", column == 0 ? "" : ", ",
                   gnuplot_string(table.columns[column]), column);
  }
  figure.description = figure.title + chosen;
  // Pale enough for black figures everywhere.
  constexpr std::string_view pale = "F3F7FC", dark = "6BAED6";
  fmt::format_to(back_inserter(figure.source),
                 "set lmargin at screen {:.4f}\nset rmargin at screen {:.4f}\nset bmargin at screen {:.4f}\n"
                 "set tmargin at screen {:.4f}\nunset key\nunset colorbox\nunset border\nset tics scale 0\n"
                 "set xtics ({})\nset ytics ({})\nset xrange [-0.5:{}.5]\nset yrange [{}.5:-0.5]\n"
                 "set palette defined (0 '#{}', 1 '#{}')\nset cbrange [{}:{}]\n",
                 static_cast<double>(left) / figure.width, 1 - static_cast<double>(right) / figure.width,
                 static_cast<double>(bottom) / figure.height, 1 - static_cast<double>(top) / figure.height,
                 column_names, row_names, columns - 1, rows - 1, low_is_dark ? dark : pale, low_is_dark ? pale : dark,
                 number(low), number(high > low ? high : low + 1));
  std::string plots;
  const auto plot = [&](std::string_view block, const std::string& data, std::string_view how) {
    if (data.empty()) return;
    fmt::format_to(back_inserter(figure.source), "${} << EOD\n{}EOD\n", block, data);
    fmt::format_to(back_inserter(plots), "{}${} {}", plots.empty() ? "plot " : ", ", block, how);
  };
  plot("gone", gone, "using 1:2:(0.48):(0.46) with boxxyerror fs solid noborder lc rgb '#E4E4E4'");
  plot("values", values, "using 1:2:(0.48):(0.46):3 with boxxyerror fs solid noborder lc palette");
  if (!values.empty()) plots += ", $values using 1:2:4 with labels";
  plot("frames", frames, "using 1:2:(0.48):(0.46) with boxxyerror lc rgb '#B00020' lw 3 fs empty border rgb '#B00020'");
  figure.source += plots + "\n";
  return figure;
}

Figure stacked_bars(std::string name, std::string title, const std::string& x_label, const std::string& y_label,
                    const std::vector<std::string>& parts, const std::vector<Bar>& bars) {
  const int width = 460, height = 320;
  Figure figure{.name = std::move(name), .title = std::move(title), .width = width, .height = height};
  // Each part is drawn as a bar from 0 to its upper end, the whole bars first.
  std::string rows, labels;
  std::vector<double> sums(parts.size());
  const std::size_t every = std::max<std::size_t>(1, (bars.size() + 11) / 12);
  for (std::size_t i = 0; i < bars.size(); ++i) {
    double end = 0;
    fmt::format_to(back_inserter(rows), "{}", i);
    for (std::size_t part = 0; part < parts.size(); ++part) {
      end += bars[i].parts[part];
      sums[part] += bars[i].parts[part];
      fmt::format_to(back_inserter(rows), " {}", number(end));
    }
    rows += "\n";
    if (i % every == 0) {
      fmt::format_to(back_inserter(labels), "{}{} {}", labels.empty() ? "" : ", ", gnuplot_string(bars[i].label), i);
    }
  }
  const bool long_labels =
      std::ranges::any_of(bars, [&](const Bar& bar) { return bar.label.size() * bars.size() > 60 * every; });
  fmt::format_to(back_inserter(figure.source),
                 "$bars << EOD\n{}EOD\nset grid y lc rgb '#DDDDDD'\nset tics nomirror\nset border 3\n"
                 "set key outside below center horizontal reverse Left\nset xlabel {}\nset ylabel {}\n"
                 "set xtics {} ({})\nset xrange [-0.6:{}.6]\nset yrange [0:*]\nset style fill solid noborder\n"
                 "set boxwidth {}\n",
                 rows, gnuplot_string(x_label), gnuplot_string(y_label), long_labels ? "rotate by -25" : "", labels,
                 bars.size() - 1, bars.size() > 60 ? 1 : 0.8);
  std::string description;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const std::size_t part = parts.size() - 1 - i;
    fmt::format_to(back_inserter(figure.source), "{}$bars using 1:{} with boxes lc rgb '#{}' title {}",
                   i == 0 ? "plot " : ", ", part + 2, colours[part % colours.size()], gnuplot_string(parts[part]));
    fmt::format_to(back_inserter(description), "{}{} {:.4g}", i == 0 ? ": " : ", ", parts[i], sums[i]);
  }
  figure.source += "\n";
  figure.description = figure.title + ", " + y_label + " in all" + description;
  return figure;
}

}  // namespace flowdarts::report
