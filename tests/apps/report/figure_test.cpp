#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <flowdarts/spaces/support/error.hpp>
#include <report/charts.hpp>
#include <report/program.hpp>

namespace flowdarts::report {
namespace {

using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;
using testing::ThrowsMessage;

TEST(OutputOf, IsWhatAProgramMakesOfItsInput) {
  const std::string much(1U << 20U, 'x');  // more than a pipe holds
  EXPECT_EQ(output_of({"cat", "-"}, much, "coreutils"), much);
  EXPECT_EQ(output_of({"printf", "%s|", "a b", "$HOME"}, "", "coreutils"), "a b|$HOME|") << "there is no shell";
}

TEST(OutputOf, SaysWhatIsMissingAndWhatFailed) {
  EXPECT_THAT([] { (void)output_of({"no-such-plotter"}, "", "plotter"); },
              ThrowsMessage<RunError>("no-such-plotter: found no such program on the PATH, expected that of the Debian "
                                      "package plotter (apt-get install plotter)"));
  EXPECT_THAT([] { (void)output_of({"sh"}, "echo >&2; echo first >&2; echo second >&2; exit 3", "dash"); },
              ThrowsMessage<RunError>("sh: failed: first"));
  EXPECT_THAT([] { (void)output_of({"sh"}, "kill -9 $$", "dash"); },
              ThrowsMessage<RunError>("sh: failed without a message"));
}

TEST(GnuplotString, KeepsWhatIsInIt) {
  EXPECT_EQ(gnuplot_string("it's `date` \"x\"\n$y"), "'it''s `date` \"x\" $y'");
}

TEST(InlineSvg, HasANameAndItsOwnIds) {
  const std::string document =
      "<?xml version=\"1.0\"?>\n<!DOCTYPE svg>\n<svg width=\"1pt\">\n<g id='a'/><g id=\"b\"/>"
      "<use xlink:href='#a'/><use href=\"#b\"/><g clip-path=\"url(#b)\"/></svg>\n";
  EXPECT_EQ(inline_svg(document, "a < \"b\"", "loss."),
            "<svg role=\"img\" aria-label=\"a &lt; &quot;b&quot;\" width=\"1pt\">\n<g id='loss.a'/><g id=\"loss.b\"/>"
            "<use xlink:href='#loss.a'/><use href=\"#loss.b\"/><g clip-path=\"url(#loss.b)\"/></svg>");
  EXPECT_THROW((void)inline_svg("nothing", "", ""), RunError);
}

/// The size that a PNG says it has.
std::pair<unsigned, unsigned> png_size(const std::string& png) {
  const auto number = [&](std::size_t at) {
    unsigned value = 0;
    for (std::size_t i = 0; i < 4; ++i) value = value << 8U | static_cast<unsigned char>(png.at(at + i));
    return value;
  };
  return {number(16), number(20)};
}

void expect_drawn(const Figure& figure) {
  const std::string svg = draw_svg(figure);
  EXPECT_THAT(svg, HasSubstr("<svg"));
  EXPECT_THAT(svg, HasSubstr("</svg>"));
  const std::string png = draw_png(figure);
  EXPECT_THAT(png, StartsWith("\x89PNG\r\n\x1a\n"));
  EXPECT_THAT(png.substr(png.size() - 8), HasSubstr("IEND"));
  EXPECT_EQ(png_size(png),
            std::pair(2U * static_cast<unsigned>(figure.width), 2U * static_cast<unsigned>(figure.height)));
}

TEST(Charts, AreDrawn) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const std::vector<Panel> panels{
      {.title = "it's `a` test", .x_label = "epoch", .y_label = "y", .lines = {{"one", {{1, 2}, {2, nan}, {3, 4}}}}},
      {.title = "flat", .lines = {{"", {{1, 0}, {2, 0}}, 1, true}, {"two_2", {{1, 5}, {2, 6}}, 9}}},
      {.title = "single", .lines = {{"one", {{7, 1e-8}}}}},
      {.title = "empty", .lines = {{"one", {{1, nan}}}}}};
  const Figure lines = line_chart("lines", "Lines", panels, 3);
  EXPECT_EQ(lines.width, 3 * 310);
  expect_drawn(lines);
  const std::string svg = draw_svg(lines);
  EXPECT_THAT(svg, HasSubstr("it's `a` test"));
  EXPECT_THAT(svg, Not(HasSubstr(">empty<")));
  EXPECT_THAT(svg, HasSubstr("two_2")) << "a name that the first panel does not have";

  OpTable table{"", {"1<-0", "2<-0"}, {"none", "nor_conv_3x3"}, {0.25, nan, 0.5, 1}, {false, false, true, false}};
  const Figure map = heat_map("map", "Map", table, 2);
  EXPECT_EQ(map.description, "Map; chosen: 2<-0 none");
  expect_drawn(map);
  EXPECT_THAT(draw_svg(map), HasSubstr("0.25"));
  EXPECT_THAT(draw_svg(map), HasSubstr("nor_conv_3x3"));
  table.values = {nan, nan, nan, nan};
  expect_drawn(heat_map("map", "Map", table, 2));
  table.values = {3, 3, 3, 3};
  table.chosen.assign(4, false);
  expect_drawn(heat_map("map", "Map", table, -1, true));

  expect_drawn(stacked_bars("bars", "Bars", "run", "seconds", {"a", "b"}, {{"it's", {1, 2}}, {"y", {0, 0.5}}}));
}

TEST(Charts, OfALegendAsLongAsItGets) {
  std::vector<Line> lines;
  for (std::size_t i = 0; i < 12; ++i) {
    lines.push_back({"bdp-darts on nas-bench-201, prune.window = " + std::to_string(i), {{1, 1.0 * i}, {2, 2}}, i});
  }
  const std::string svg = draw_svg(line_chart("lines", "Lines", {{.lines = lines}}, 1));
  for (const Line& line : lines) EXPECT_THAT(svg, HasSubstr(line.name));
}

TEST(Figures, OfBrokenSourcesSayWhy) {
  EXPECT_THAT([] { (void)draw_svg({.name = "x", .source = "plot nothing_there\n", .width = 100, .height = 100}); },
              ThrowsMessage<RunError>(StartsWith("gnuplot: failed: ")));
  EXPECT_THAT([] { (void)draw_svg({.name = "x", .drawer = Drawer::graphviz, .source = "digraph {"}); },
              ThrowsMessage<RunError>(StartsWith("dot: failed: ")));
}

}  // namespace
}  // namespace flowdarts::report
