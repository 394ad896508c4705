#include "figure.hpp"

#include <spdlog/fmt/fmt.h>

#include <array>
#include <flowdarts/spaces/support/error.hpp>
#include <string_view>

#include "program.hpp"

namespace flowdarts::report {
namespace {

std::string run_gnuplot(const Figure& figure, const std::string& terminal) {
  // -d: without the user's own settings. Texts are shown as they are, without gnuplot's markup.
  const std::string script =
      "set encoding utf8\nset terminal " + terminal + "\nset termoption noenhanced\n" + figure.source;
  return output_of({"gnuplot", "-d"}, script, "gnuplot-nox");
}

std::string run_dot(const Figure& figure, std::vector<std::string> options) {
  std::vector<std::string> command{"dot", "-Grankdir=LR", "-Nmargin=0.06,0.03", "-Nheight=0.35", "-Nwidth=0.3"};
  for (const std::string part : {"-G", "-N", "-E"}) {
    command.push_back(part + "fontname=sans-serif");
    command.push_back(part + "fontsize=12");
  }
  command.insert(command.end(), options.begin(), options.end());
  return output_of(command, figure.source, "graphviz");
}

/// Puts `prefix` behind every occurrence of `mark`.
void prefix_all(std::string& text, std::string_view mark, const std::string& prefix) {
  for (std::size_t at = text.find(mark); at != std::string::npos; at = text.find(mark, at + mark.size())) {
    text.insert(at + mark.size(), prefix);
  }
}

}  // namespace

std::string draw_svg(const Figure& figure) {
  if (figure.drawer == Drawer::graphviz) return run_dot(figure, {"-Tsvg"});
  return run_gnuplot(figure, fmt::format("svg size {},{} dynamic font 'sans-serif,13' background rgb 'white'",
                                         figure.width, figure.height));
}

std::string draw_png(const Figure& figure) {
  if (figure.drawer == Drawer::graphviz) return run_dot(figure, {"-Tpng", "-Gdpi=192"});
  return run_gnuplot(figure,
                     fmt::format("pngcairo size {},{} font 'sans-serif,10' fontscale 2 linewidth 2 pointscale 2 "
                                 "background rgb 'white'",
                                 2 * figure.width, 2 * figure.height));
}

std::string inline_svg(const std::string& document, const std::string& description, const std::string& prefix) {
  const std::size_t root = document.find("<svg");
  const std::size_t end = document.rfind("</svg>");
  if (root == std::string::npos || end == std::string::npos) {
    throw RunError("found no <svg> element in what was drawn, expected a whole one");
  }
  std::string svg = document.substr(root, end + 6 - root);
  for (const std::string_view mark : {" id='", " id=\"", "href='#", "href=\"#", "url(#"}) prefix_all(svg, mark, prefix);
  svg.insert(4, " role=\"img\" aria-label=\"" + escape_html(description) + "\"");
  return svg;
}

std::string escape_html(const std::string& text) {
  std::string escaped;
  for (const char c : text) {
    switch (c) {
      case '&':
        escaped += "&amp;";
        break;
      case '<':
        escaped += "&lt;";
        break;
      case '>':
        escaped += "&gt;";
        break;
      case '"':
        escaped += "&quot;";
        break;
      case '\'':
        escaped += "&#39;";
        break;
      default:
        escaped += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? ' ' : c;
    }
  }
  return escaped;
}

}  // namespace flowdarts::report
