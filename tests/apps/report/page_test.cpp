// Which sections and figures there are for which runs, and what the page says.

#include <gmock/gmock.h>

#include <algorithm>
#include <flowdarts/spaces/support/error.hpp>
#include <report/page.hpp>

#include "written_runs.hpp"

namespace flowdarts::report {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::ThrowsMessage;

class ReportPage : public WrittenRuns {
 protected:
  static std::vector<std::string> headings(const Page& page) {
    std::vector<std::string> all;
    for (const Section& section : page.sections) all.push_back(section.heading);
    return all;
  }
  static std::vector<Figure> figures(const Page& page) {
    std::vector<Figure> all;
    for (const Section& section : page.sections) all.insert(all.end(), section.figures.begin(), section.figures.end());
    return all;
  }
  static std::vector<std::string> names(const Page& page) {
    std::vector<std::string> all;
    for (const Figure& figure : figures(page)) all.push_back(figure.name);
    return all;
  }
  static Figure figure(const Page& page, const std::string& name) {
    for (Figure& one : figures(page)) {
      if (one.name == name) return one;
    }
    ADD_FAILURE() << "found no figure " << name;
    return {};
  }
  /// With a box for each figure.
  static std::string html(const Page& page) {
    std::map<std::string, std::string> drawings;
    for (const Figure& one : figures(page)) drawings[one.name] = "<?xml?><svg><g id=\"a\"/></svg>";
    return to_html(page, drawings);
  }
  static Page page_of(const std::vector<std::string>& folders) { return make_page(read_runs(folders)); }
};

TEST_F(ReportPage, OfASearchWithAlpha) {
  const Page page = page_of({write_search("a", "darts", 7)});
  EXPECT_EQ(page.title, "darts on nas-bench-201: a");
  EXPECT_THAT(headings(page),
              ElementsAre("Summary", "Architecture", "Ops", "Curves", "Ops by epoch", "Time", "Configuration"));
  EXPECT_THAT(names(page), ElementsAre("architecture", "op-weights", "loss", "accuracy", "true-accuracy",
                                       "op-weights-by-epoch", "time"));
  EXPECT_EQ(figure(page, "architecture").description, "The architecture derived after epoch 3: " + nas_bench_cell);
  EXPECT_EQ(figure(page, "loss").description, "Loss: training (T) 2.5 to 0.8333; validation (V) 2.6 to 0.8667");
  EXPECT_THAT(figure(page, "op-weights").description, HasSubstr("chosen: 1<-0 nor_conv_3x3, 2<-0 nor_conv_3x3"));
  EXPECT_EQ(figure(page, "time").description,
            "Time by stage, seconds in all: weight step 12, arch step 9, device waiting 1.5, "
            "other 7.5");
  const std::string text = html(page);
  EXPECT_THAT(text, HasSubstr("<dt>epochs</dt><dd>3 of 3</dd>"));
  EXPECT_THAT(text, HasSubstr("<dt>seed</dt><dd>7</dd>"));
  EXPECT_THAT(text, HasSubstr("<dt>samples left</dt><dd>T 100, V 80</dd>"));
  EXPECT_THAT(text, HasSubstr("CIFAR-10 93.00 %, CIFAR-100 70.00 %, ImageNet16-120 40.00 %"));
  EXPECT_THAT(text, HasSubstr("<p>Collapse no: 3 of 6 ops without parameters (skip_connect 2, avg_pool_3x3 1).</p>"));
  EXPECT_THAT(text, HasSubstr("<th scope=\"row\">loading</th><td>18.00</td><td>60.0</td><td>beside the others</td>"));
  EXPECT_THAT(text, HasSubstr("<dt>lr</dt><dd>0.0003</dd>"));
}

TEST_F(ReportPage, OfASearchThatPrunesData) {
  std::vector<Json> rows;
  for (int epoch = 1; epoch <= 3; ++epoch) {
    rows.push_back(search_row(epoch));
    rows.back()["val"]["samples"] = 80 - 10 * epoch;
    rows.back()["hessian"] = epoch == 2 ? Json(nullptr) : Json{{"largest", 1.0 * epoch}, {"dominant", -2.0 * epoch}};
  }
  const Page page = page_of({write_run("a", config_of("bdp-darts", "nas-bench-201", 0), rows)});
  EXPECT_THAT(names(page), ElementsAre("architecture", "op-weights", "loss", "accuracy", "true-accuracy", "samples",
                                       "balance", "hessian", "op-weights-by-epoch", "time"));
  EXPECT_EQ(figure(page, "samples").description, "Samples left: training (T) 100 to 100; validation (V) 70 to 50");
  EXPECT_THAT(figure(page, "hessian").description, HasSubstr("dominant -2 to -6; largest 1 to 3"));
  EXPECT_THAT(figure(page, "hessian").source, HasSubstr("$p0l0 << EOD\n1 -2\n3 -6\nEOD\n"));
}

// Masks and no alpha: what is left, how long, and what was measured.
TEST_F(ReportPage, OfASearchWithMasks) {
  std::vector<Json> rows;
  std::vector<double> left(30, 1.0);
  for (int epoch = 1; epoch <= 3; ++epoch) {
    if (epoch > 1) left[static_cast<std::size_t>(epoch)] = 0;
    Json values = numbers(30, epoch);
    values[0] = nullptr;
    Json row = search_row(epoch);
    row["val"] = split_row(0, 0, 0);
    row["alpha"] = Json::array();
    row["ops_left"] = {left};
    row["importance"] = {
        {"measure", "FeatureInformation"}, {"epoch", epoch}, {"low_is_important", true}, {"values", {values}}};
    rows.push_back(row);
  }
  const Page page = page_of({write_run("a", config_of("is-darts", "nas-bench-201", 0), rows)});
  EXPECT_THAT(names(page), ElementsAre("architecture", "importance", "ops-left", "loss", "accuracy", "true-accuracy",
                                       "importance-by-epoch", "time"));
  EXPECT_EQ(figure(page, "importance").title,
            "Importance FeatureInformation (low is important) after epoch 3, chosen ops framed");
  // Column, row, value, text: op 1 of edge 1<-0 was never out; ops 2 and 3 left after epochs 2 and 3.
  const std::string there = figure(page, "ops-left").source;
  EXPECT_THAT(there, HasSubstr("\n1 0 3 3\n2 0 2 2\n3 0 3 3\n"));
  const std::string importance = figure(page, "importance").source;
  EXPECT_THAT(importance, HasSubstr("$gone << EOD\n0 0\n2 0\n3 0\nEOD\n"));
  EXPECT_THAT(importance, HasSubstr("\n1 0 3.01 3.01\n4 0 3.04 3.04\n"));
  // Op 2 was measured after epoch 2 and only then left; what is null at its edge has no point.
  const std::string curves = figure(page, "importance-by-epoch").source;
  EXPECT_THAT(curves, HasSubstr("$p1l2 << EOD\n1 1.02\n2 2.02\n3 NaN\nEOD\n"));
  EXPECT_THAT(curves, HasSubstr("$p1l0 << EOD\n1 NaN\n2 NaN\n3 NaN\nEOD\n"));
  EXPECT_THAT(curves, HasSubstr("$p1l3 << EOD\n1 1.03\n2 2.03\n3 3.03\nEOD\n"));
  // The mean of op 0 is that of the five other edges: 0.05, 0.1, ... 0.25 more than the epoch.
  EXPECT_THAT(curves, HasSubstr("$p0l0 << EOD\n1 1.15\n2 2.15\n3 3.15\nEOD\n"));
  EXPECT_THAT(figure(page, "loss").description, Not(HasSubstr("validation")));
}

TEST_F(ReportPage, OfASearchWithAlphaAndImportance) {
  std::vector<Json> rows;
  for (int epoch = 1; epoch <= 3; ++epoch) {
    rows.push_back(search_row(epoch));
    if (epoch == 1) {
      rows.back()["genotype"] = nullptr;
      rows.back()["collapse"] = nullptr;
      rows.back()["true_accuracy"] = Json::object();
      continue;
    }
    rows.back()["importance"] = {{"measure", "OperationStrength"},
                                 {"epoch", 2},  // row 3 repeats it
                                 {"low_is_important", false},
                                 {"values", {numbers(30, 0)}}};
  }
  const Page page = page_of({write_run("a", config_of("ostr-darts", "nas-bench-201", 0), rows)});
  EXPECT_THAT(names(page), ElementsAre("architecture", "op-weights", "importance", "loss", "accuracy", "true-accuracy",
                                       "op-weights-by-epoch", "time"))
      << "a single measurement makes no curve";
  EXPECT_EQ(figure(page, "importance").title, "Importance OperationStrength after epoch 2, chosen ops framed");
}

TEST_F(ReportPage, OfTheOtherSpaces) {
  std::vector<Json> rows;
  for (int epoch = 1; epoch <= 2; ++epoch) {
    Json row = search_row(epoch);
    row["true_accuracy"] = Json::object();
    row["genotype"] = darts_cells;
    row["alpha"] = row["op_weights"] = {numbers(112, 0), numbers(112, 1), numbers(14, 0), numbers(14, 1)};
    rows.push_back(row);
  }
  EXPECT_THAT(names(page_of({write_run("a", config_of("pc-darts", "darts", 0), rows)})),
              ElementsAre("architecture", "op-weights-normal-cell", "op-weights-reduction-cell",
                          "op-weights-edge-weights-normal-cell", "op-weights-edge-weights-reduction-cell", "loss",
                          "accuracy", "op-weights-by-epoch-normal-cell", "op-weights-by-epoch-reduction-cell", "time"));
  Json layers = Json::array();
  for (int layer = 0; layer < 21; ++layer) layers.push_back(numbers(layer % 4 == 0 ? 6 : 7, 0));
  for (Json& row : rows) {
    row["genotype"] = layer_string;
    row["alpha"] = row["op_weights"] = layers;
  }
  const Page page = page_of({write_run("b", config_of("darts", "mobilenet", 0), rows)});
  EXPECT_THAT(names(page),
              ElementsAre("architecture", "op-weights", "loss", "accuracy", "op-weights-by-epoch", "time"));
  EXPECT_TRUE(figure(page, "architecture").wide);
}

TEST_F(ReportPage, OfATraining) {
  const std::string folder = write_run("a", "[network]\nspace = 'darts'\n\n[run]\nseed = 1\nepochs = 3\n",
                                       {training_row(1), training_row(2), training_row(3)});
  EXPECT_THAT(headings(page_of({folder})), ElementsAre("Summary", "Curves", "Time", "Configuration"));
  write(folder + "/result.json", Json{{"genotype", darts_cells}, {"params", 3300000}, {"macs", 5e8}}.dump());
  const Page page = page_of({folder});
  EXPECT_EQ(page.title, "training of darts: a");
  EXPECT_THAT(headings(page), ElementsAre("Summary", "Architecture", "Curves", "Time", "Configuration"));
  EXPECT_THAT(names(page), ElementsAre("architecture", "loss", "accuracy", "time"));
  EXPECT_EQ(figure(page, "accuracy").description,
            "Accuracy: training (T) 20 to 60; test 70 to 70; test, top 5 95 to 95");
  EXPECT_EQ(figure(page, "time").description, "Time by stage, seconds in all: weight step 21, test 6, other 3");
  const std::string text = html(page);
  EXPECT_THAT(text, HasSubstr("<dt>test accuracy</dt><dd>70.00 %; the best 80.00 %, after epoch 2</dd>"));
  EXPECT_THAT(text, HasSubstr("<dt>params</dt><dd>3,300,000</dd>"));
  EXPECT_THAT(text, Not(HasSubstr("samples left")));
}

TEST_F(ReportPage, LeavesOutWhatHasNoData) {
  const Page page = page_of({write_run("a", config_of("darts", "nas-bench-201", 0), {Json{{"epoch", 1}}})});
  EXPECT_THAT(headings(page), ElementsAre("Summary", "Architecture", "Configuration"));
  EXPECT_THAT(figures(page), IsEmpty());
  EXPECT_THAT(html(page), HasSubstr("No architecture yet"));
}

// Accuracies of the last epoch: 93 and 91; 92.
TEST_F(ReportPage, OfSeveralRunsHasMeansOverTheSeeds) {
  const Page page = page_of(
      {write_search("a", "darts", 1, 3), write_search("b", "darts", 2, 1), write_search("c", "bdp-darts", 1, 2)});
  EXPECT_EQ(page.title, "3 runs");
  EXPECT_THAT(headings(page),
              ElementsAre("Mean and deviation over the seeds", "Runs", "Curves", "Time", "a: darts on nas-bench-201",
                          "b: darts on nas-bench-201", "c: bdp-darts on nas-bench-201"));
  EXPECT_THAT(names(page),
              ElementsAre("loss", "accuracy", "true-accuracy", "time", "run-1-architecture", "run-1-op-weights",
                          "run-1-op-weights-by-epoch", "run-2-architecture", "run-2-op-weights", "run-3-architecture",
                          "run-3-op-weights", "run-3-op-weights-by-epoch"));
  const std::string text = html(page);
  EXPECT_THAT(text,
              HasSubstr("<tr><th scope=\"row\">darts</th><td>2</td><td>1, 2</td><td>92.00 ± 1.41</td><td>70.00 ± 0.00"
                        "</td><td>40.00 ± 0.00</td><td>18.0 ± 12.7</td><td>1.733 ± 1.226</td>"));
  EXPECT_THAT(text, HasSubstr("<tr><th scope=\"row\">bdp-darts</th><td>1</td><td>1</td><td>92.00</td>"));
  EXPECT_THAT(text, HasSubstr("<td>20.0 ± 14.1</td><td>0 of 2</td>"));
  // Of the first epoch two runs, of the others one.
  const std::string accuracy = figure(page, "true-accuracy").source;
  EXPECT_THAT(accuracy, HasSubstr("$p0l2 << EOD\n1 91\n2 92\n3 93\nEOD\n"));
  EXPECT_THAT(accuracy, HasSubstr("title 'darts, mean of 2'"));
  EXPECT_THAT(accuracy, HasSubstr("title 'bdp-darts'"));
}

TEST_F(ReportPage, NamesTheRowThatDoesNotFit) {
  Json row = search_row(2);
  row["op_weights"] = row["alpha"] = {{1, 2, 3}};
  const std::string folder = write_run("a", config_of("darts", "nas-bench-201", 0), {search_row(1), row});
  EXPECT_THAT([&] { (void)page_of({folder}); },
              ThrowsMessage<InputError>(folder + "/metrics.jsonl: epoch 2: \"op_weights\": matrix of ops: found 3, "
                                                 "expected 6 x 5 numbers"));
}

TEST_F(ReportPage, FetchesNothingAndShowsTextsAsText) {
  const std::string folder = write_run("<b>&'\"", config_of("da<script>rts", "nas-bench-201", 0), {Json{{"epoch", 1}}});
  const std::string text = html(page_of({folder}));
  EXPECT_THAT(text, HasSubstr("default-src 'none'"));
  EXPECT_THAT(text, HasSubstr("<h1>da&lt;script&gt;rts on nas-bench-201: &lt;b&gt;&amp;&#39;&quot;</h1>"));
  EXPECT_THAT(text, Not(HasSubstr("<script")));
}

}  // namespace
}  // namespace flowdarts::report
