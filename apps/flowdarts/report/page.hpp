#pragma once
// The report's page: sections of text, tables and figures, and their HTML.

#include <map>
#include <span>
#include <string>
#include <vector>

#include "figure.hpp"
#include "run.hpp"

namespace flowdarts::report {

struct Section {
  std::string heading;
  std::string html;  ///< above the figures
  std::vector<Figure> figures;
  std::string html_below;
  bool folded = false;  ///< opens at a click
};

struct Page {
  std::string title;
  std::vector<Section> sections;  ///< none without content
};

/// The report of one run, or of several beside each other. Throws InputError where a run's space is unknown or its
/// matrices do not fit.
Page make_page(std::span<const Run> runs);

/// One HTML document that needs nothing beside it and fetches nothing. `drawings`: the SVG document of each figure, by
/// its name.
std::string to_html(const Page& page, const std::map<std::string, std::string>& drawings);

}  // namespace flowdarts::report
