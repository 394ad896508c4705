#include <cerrno>
#include <cstring>
#include <filesystem>
#include <flowdarts/pipeline/run_directory/atomic_file.hpp>
#include <flowdarts/spaces/support/error.hpp>
#include <iostream>
#include <map>
#include <system_error>

#include "commands.hpp"
#include "report/page.hpp"

namespace flowdarts::app {

namespace fs = std::filesystem;

void Report::declare(CLI::App& command) {
  command.add_option("RUN", runs, "Run directories, also of searches that go on")->required();
  command.add_option("--out", out, "The page to write; of one run, if not given, RUN/report.html");
  command.add_option("--figures", figures, "Folder for each figure as SVG and PNG; made where it is missing");
}

void Report::run() const {
  if (runs.size() > 1 && !out)
    throw InputError("--out: is not given, expected the page's file where there are several runs");
  const auto all = report::read_runs(runs);
  const report::Page page = report::make_page(all);
  // All is drawn before anything is written.
  std::map<std::string, std::string> drawings, files;
  for (const report::Section& section : page.sections) {
    for (const report::Figure& figure : section.figures) {
      drawings[figure.name] = draw_svg(figure);
      if (!figures) continue;
      files[figure.name + ".svg"] = drawings[figure.name];
      files[figure.name + ".png"] = draw_png(figure);
    }
  }
  const fs::path file = out ? fs::path(*out) : fs::path(runs.front()) / "report.html";
  const std::string html = to_html(page, drawings);
  if (figures) {
    std::error_code error;
    fs::create_directories(*figures, error);
    if (error) throw InputError("--figures: cannot make the folder " + *figures + ": " + error.message());
    for (const auto& [name, content] : files) write_file_atomically(fs::path(*figures) / name, content);
  }
  write_file_atomically(file, html);
  std::cout << file.string() << "\n";
}

}  // namespace flowdarts::app
