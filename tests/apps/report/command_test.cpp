// `flowdarts report` from outside, and its page in a browser.

#include <gmock/gmock.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <regex>
#include <set>
#include <sstream>

#include "written_runs.hpp"

namespace flowdarts::report {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;

struct Result {
  std::string out, err;
  int code = -1;
};

class ReportCommand : public WrittenRuns {
 protected:
  /// A shell's command line.
  [[nodiscard]] Result shell(const std::string& command) const {
    const fs::path out = folder_ / "stdout", err = folder_ / "stderr";
    const int status = std::system(("{ " + command + "; } >" + out.string() + " 2>" + err.string()).c_str());
    return {read(out), read(err), WIFEXITED(status) ? WEXITSTATUS(status) : -1};
  }

  /// No argument may hold a single quote.
  [[nodiscard]] Result report(const std::vector<std::string>& arguments, const std::string& environment = "") const {
    std::string command = environment + " " FLOWDARTS_BIN_DIR "/flowdarts report";
    for (const std::string& argument : arguments) command += " '" + argument + "'";
    return shell(command);
  }

  void expect_failure(const Result& result, int code, const std::string& line) const {
    EXPECT_EQ(result.code, code);
    EXPECT_EQ(result.out, "");
    EXPECT_EQ(result.err, "flowdarts: " + line + "\n");
  }

  static std::set<std::string> files_in(const fs::path& folder) {
    std::set<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder)) names.insert(entry.path().filename().string());
    return names;
  }
};

TEST_F(ReportCommand, WritesOnePageBesideTheRun) {
  const std::string run = write_search("a");
  const Result result = report({run});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.out, run + "/report.html\n");
  EXPECT_EQ(result.err, "");
  EXPECT_EQ(files_in(run), (std::set<std::string>{"config.toml", "metrics.jsonl", "report.html"}));
  EXPECT_THAT(read(run + "/report.html"), HasSubstr("<h1>darts on nas-bench-201: a</h1>"));
}

TEST_F(ReportCommand, WritesFiguresAsSvgAndPng) {
  const std::string run = write_search("a"), folder = (folder_ / "new/figures").string();
  const Result result = report({run, "--out", (folder_ / "page.html").string(), "--figures", folder});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_FALSE(fs::exists(run + "/report.html"));
  std::set<std::string> expected;
  for (const char* name :
       {"architecture", "op-weights", "loss", "accuracy", "true-accuracy", "op-weights-by-epoch", "time"}) {
    expected.insert(name + std::string(".svg"));
    expected.insert(name + std::string(".png"));
  }
  EXPECT_EQ(files_in(folder), expected);
  for (const std::string& name : expected) {
    const std::string content = read(fs::path(folder) / name);
    if (name.ends_with(".png")) {
      EXPECT_THAT(content, StartsWith("\x89PNG")) << name;
    } else {
      EXPECT_THAT(content, HasSubstr("<svg")) << name;
      EXPECT_THAT(content, HasSubstr("</svg>")) << name;
    }
  }
}

TEST_F(ReportCommand, RefusesBadInputInOneLine) {
  const std::string first = write_search("a"), second = write_search("b");
  const std::string missing = (folder_ / "c").string();
  expect_failure(report({first, second}), 2,
                 "--out: is not given, expected the page's file where there are several runs");
  expect_failure(report({missing}), 2, missing + ": found no metrics.jsonl, expected a run directory");
  expect_failure(report({}), 2, "report: RUN is required");
  expect_failure(report({first, "--figures", first + "/config.toml/x"}), 2,
                 "--figures: cannot make the folder " + first + "/config.toml/x: Not a directory");
  EXPECT_FALSE(fs::exists(first + "/report.html"));
  expect_failure(report({first, "--out", missing + "/page.html"}), 1,
                 "cannot write " + missing + "/page.html: No such file or directory");
}

// A program that is missing or fails leaves nothing behind.
TEST_F(ReportCommand, NamesTheProgramThatIsMissing) {
  const std::string run = write_search("a"), programs = (folder_ / "programs").string();
  fs::create_directories(programs);
  const auto report_with = [&] {
    return report({run, "--figures", (folder_ / "figures").string()}, "PATH=" + programs);
  };
  expect_failure(
      report_with(), 1,
      "dot: found no such program on the PATH, expected that of the Debian package graphviz (apt-get install "
      "graphviz)");
  write(programs + "/dot", "#!/bin/sh\necho '<svg></svg>'\n");
  fs::permissions(programs + "/dot", fs::perms::owner_all);
  expect_failure(report_with(), 1,
                 "gnuplot: found no such program on the PATH, expected that of the Debian package gnuplot-nox (apt-get "
                 "install gnuplot-nox)");
  write(programs + "/gnuplot", "#!/bin/sh\necho 'unknown terminal type' >&2\nexit 1\n");
  fs::permissions(programs + "/gnuplot", fs::perms::owner_all);
  expect_failure(report_with(), 1, "gnuplot: failed: unknown terminal type");
  EXPECT_FALSE(fs::exists(run + "/report.html"));
  EXPECT_FALSE(fs::exists(folder_ / "figures"));
}

/// Drives a headless browser (Debian's chromium-headless-shell).
class ReportInABrowser : public ReportCommand {
 protected:
  void SetUp() override {
    ReportCommand::SetUp();
    if (shell("command -v " + browser_).code != 0) GTEST_SKIP() << "found no " << browser_ << " on the PATH";
  }

  struct Visit {
    std::string dom;
    std::vector<std::string> console, requests;  // what was complained about, what was asked of a network
  };

  /// Opens a page as `DOM dump`, or as a picture where `screenshot` names a file.
  [[nodiscard]] Visit visit(const fs::path& page, const std::string& screenshot = "") const {
    const std::string log = (folder_ / "net.json").string();
    // Root has no sandbox of its own; the pages are ours.
    const Result result = shell(
        browser_ + " --no-sandbox --disable-gpu --disable-background-networking --user-data-dir=" +
        (folder_ / "profile").string() + " --log-net-log=" + log + " --enable-logging=stderr --window-size=1040,2400 " +
        (screenshot.empty() ? "--dump-dom" : "--screenshot=" + screenshot) + " file://" + page.string());
    EXPECT_EQ(result.code, 0) << result.err;
    Visit visit{result.out, {}, {}};
    std::istringstream lines(result.err);
    for (std::string line; std::getline(lines, line);) {
      if (line.find("CONSOLE") != std::string::npos) visit.console.push_back(line);
    }
    const std::string requests = read(log);
    EXPECT_TRUE(requests.ends_with("}\n")) << "the log is not whole";
    const std::regex url(R"re("url":"((http|https|ws|wss|ftp):[^"]*)")re");
    for (std::sregex_iterator at(requests.begin(), requests.end(), url), end; at != end; ++at) {
      visit.requests.push_back((*at)[1]);
    }
    return visit;
  }

  static std::vector<std::string> matches(const std::string& text, const std::string& pattern) {
    const std::regex regex(pattern);
    std::vector<std::string> all;
    for (std::sregex_iterator at(text.begin(), text.end(), regex), end; at != end; ++at) all.push_back((*at)[1]);
    return all;
  }

  const std::string browser_ = "chromium-headless-shell";
};

TEST_F(ReportInABrowser, ShowsItsFiguresAndFetchesNothing) {
  const fs::path page = folder_ / "page.html";
  const Result result = report({write_search("a", "darts", 1), write_search("b", "darts", 2),
                                write_search("c", "bdp-darts", 1), "--out", page.string()});
  ASSERT_EQ(result.code, 0) << result.err;
  const Visit seen = visit(page);
  EXPECT_THAT(seen.console, IsEmpty());
  EXPECT_THAT(seen.requests, IsEmpty());
  EXPECT_THAT(matches(seen.dom, "<figure id=\"([^\"]*)\""),
              testing::ElementsAre("loss", "accuracy", "true-accuracy", "time", "run-1-architecture",
                                   "run-1-op-weights", "run-1-op-weights-by-epoch", "run-2-architecture",
                                   "run-2-op-weights", "run-2-op-weights-by-epoch", "run-3-architecture",
                                   "run-3-op-weights", "run-3-op-weights-by-epoch"));
  EXPECT_EQ(matches(seen.dom, "<svg role=\"img\" aria-label=\"([^\"]+)\"").size(), 13U);
  EXPECT_EQ(matches(seen.dom, "(<figcaption>)[^<]+<").size(), 13U);
  EXPECT_EQ(matches(seen.dom, "<h1>([^<]*)<"), std::vector<std::string>{"3 runs"});
  std::map<std::string, int> ids;
  for (const std::string& id : matches(seen.dom, " id=[\"']([^\"']*)[\"']")) ++ids[id];
  EXPECT_GT(ids.size(), 100U);
  for (const auto& [id, count] : ids) EXPECT_EQ(count, 1) << id;
  EXPECT_THAT(matches(seen.dom, "(?:href|src)=\"([^#][^\"]*)\""), IsEmpty());
}

TEST_F(ReportInABrowser, IsNotBlank) {
  const fs::path page = folder_ / "page.html", picture = folder_ / "page.png", blank = folder_ / "blank.png";
  ASSERT_EQ(report({write_search("a"), "--out", page.string()}).code, 0);
  (void)visit(page, picture.string());
  write(folder_ / "blank.html", "<!DOCTYPE html><title>blank</title>");
  (void)visit(folder_ / "blank.html", blank.string());
  EXPECT_GT(fs::file_size(picture), 10 * fs::file_size(blank));
}

// What the tests above would see of a page that fetches something.
TEST_F(ReportInABrowser, RefusesToFetch) {
  const fs::path page = folder_ / "page.html";
  ASSERT_EQ(report({write_search("a"), "--out", page.string()}).code, 0);
  const std::string html = read(page), fetch = "<img src=\"http://localhost:9/x.png\">";
  const std::size_t body = html.find("<main>");
  write(page, html.substr(0, body) + fetch + html.substr(body));
  EXPECT_FALSE(visit(page).console.empty());
  write(page, "<!DOCTYPE html><title>x</title>" + fetch);
  EXPECT_THAT(visit(page).requests, testing::Contains("http://localhost:9/x.png"));
}

}  // namespace
}  // namespace flowdarts::report
