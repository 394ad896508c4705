#pragma once
// Kinds of charts, as values, and the gnuplot scripts that draw them.

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "figure.hpp"
#include "op_tables.hpp"

namespace flowdarts::report {

struct Line {
  std::string name;                               ///< in the legend; empty: not there
  std::vector<std::pair<double, double>> points;  ///< x ascending; NaN leaves a gap
  std::size_t colour = 0;                         ///< lines of one number look alike
  bool faint = false;                             ///< thin and pale, without points
};

/// One pair of axes. Without a finite point it is left empty.
struct Panel {
  std::string title, x_label, y_label;
  std::vector<Line> lines;
};

/// Panels side by side, at most `columns` in a row, one legend below them all, where there are two names.
Figure line_chart(std::string name, std::string title, const std::vector<Panel>& panels, std::size_t columns);

/// A square for each op with its value; those chosen are framed, those without a value grey. The darkest is the largest
/// value, or with `low_is_dark` the smallest. `decimals`: behind the point; -1: three significant digits.
Figure heat_map(std::string name, std::string title, const OpTable& table, int decimals, bool low_is_dark = false);

/// A bar from 0 upwards, one part on the other.
struct Bar {
  std::string label;
  std::vector<double> parts;  ///< as many as there are names
};
Figure stacked_bars(std::string name, std::string title, const std::string& x_label, const std::string& y_label,
                    const std::vector<std::string>& parts, const std::vector<Bar>& bars);

/// A text as a gnuplot string, in which nothing is evaluated; control characters become spaces.
std::string gnuplot_string(const std::string& text);

}  // namespace flowdarts::report
