#pragma once
// A figure: what it says in words, and the source from which gnuplot or Graphviz draws it.

#include <cstdint>
#include <string>
#include <vector>

namespace flowdarts::report {

enum class Drawer : std::uint8_t {
  gnuplot,  ///< a script without its terminal and output
  graphviz  ///< a digraph
};

struct Figure {
  std::string name;         ///< of its files, without extension: letters, digits, - and _
  std::string title;        ///< the caption
  std::string description;  ///< for those who cannot see it
  Drawer drawer = Drawer::gnuplot;
  std::string source;
  int width = 0, height = 0;  ///< pixels; gnuplot's
  bool wide = false;          ///< not to be shrunk to the width of a page
};

/// Runs gnuplot or dot. An SVG is a whole document, a PNG has twice the figure's pixels. Both throw RunError where the
/// program is missing or fails.
std::string draw_svg(const Figure& figure);
std::string draw_png(const Figure& figure);

/// An SVG document as an element of an HTML page: without what precedes its root, which gets `description` as its
/// accessible name; `prefix` in front of every id and every reference to one, so that figures on one page cannot meet.
std::string inline_svg(const std::string& document, const std::string& description, const std::string& prefix);

/// & < > " and ' as entities; control characters, which HTML has no place for, as spaces.
std::string escape_html(const std::string& text);

}  // namespace flowdarts::report
