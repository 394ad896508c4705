#include <gmock/gmock.h>
#include <flowdarts/spaces/support/error.hpp>
#include <functional>
#include <report/run.hpp>

#include "written_runs.hpp"

namespace flowdarts::report {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::NanSensitiveDoubleEq;
using ReportRun = WrittenRuns;

std::string refusal(const std::function<void()>& call) {
  try {
    call();
  } catch (const InputError& error) {
    return error.what();
  }
  return "";
}

TEST_F(ReportRun, HasWhatTheFilesSay) {
  Json second = search_row(2);
  second["importance"] = {
      {"measure", "FeatureInformation"}, {"epoch", 1}, {"low_is_important", true}, {"values", {{1.5, nullptr}}}};
  second["ops_left"] = {{1, 0}};
  second["hessian"] = {{"largest", 0.5}, {"dominant", -0.75}};
  const auto run = read_run(write_run("a", config_of("is-darts", "nas-bench-201", 7), {search_row(1), second}));
  EXPECT_EQ(run.name, "a");
  EXPECT_EQ(run.method(), "is-darts");
  EXPECT_EQ(run.space(), "nas-bench-201");
  EXPECT_EQ(run.option("run", "seed"), "7");
  EXPECT_EQ(run.option("alpha", "lr"), "0.0003");
  EXPECT_EQ(run.option("alpha", "none"), "");
  ASSERT_EQ(run.config.size(), 4U);
  EXPECT_EQ(run.config[1].name, "run");
  EXPECT_THAT(run.config[1].options,
              ElementsAre(std::pair<std::string, std::string>{"out", "x"}, std::pair{"seed", "7"},
                          std::pair{"epochs", "3"}, std::pair{"threads", "1"}));
  ASSERT_EQ(run.epochs.size(), 2U);
  const Epoch& epoch = run.epochs[1];
  EXPECT_EQ(epoch.number, 2);
  EXPECT_EQ(epoch.split("train").samples, 100);
  EXPECT_EQ(epoch.split("train").loss, 1.25);
  EXPECT_EQ(epoch.split("val").accuracy, 0.18);
  EXPECT_FALSE(epoch.split("test").loss);
  EXPECT_EQ(epoch.genotype, nas_bench_cell);
  EXPECT_EQ(epoch.true_accuracy.at("cifar10"), 92);
  ASSERT_TRUE(epoch.collapse);
  EXPECT_FALSE(epoch.collapse->collapsed);
  ASSERT_EQ(epoch.alpha.size(), 1U);
  EXPECT_EQ(epoch.alpha[0].size(), 30U);
  ASSERT_TRUE(epoch.importance);
  EXPECT_EQ(epoch.importance->measure, "FeatureInformation");
  EXPECT_EQ(epoch.importance->epoch, 1);
  EXPECT_TRUE(epoch.importance->low_is_important);
  EXPECT_THAT(epoch.importance->values,
              ElementsAre(ElementsAre(1.5, NanSensitiveDoubleEq(std::numeric_limits<double>::quiet_NaN()))));
  EXPECT_THAT(epoch.ops_left, ElementsAre(ElementsAre(1, 0)));
  EXPECT_EQ(epoch.hessian_largest, 0.5);
  EXPECT_EQ(epoch.hessian_dominant, -0.75);
  EXPECT_EQ(epoch.seconds.at("arch_step"), 3);
  EXPECT_EQ(run.derived(), &epoch);
}

// A search that goes on: its last line is being written.
TEST_F(ReportRun, LeavesALineWithoutItsEndOut) {
  const std::string folder = write_search("a", "darts", 0, 2);
  const std::string half = search_row(3).dump();
  std::ofstream(folder + "/metrics.jsonl", std::ios::app) << half.substr(0, half.size() / 2);
  EXPECT_EQ(read_run(folder).epochs.size(), 2U);
  write(folder + "/metrics.jsonl", half);
  EXPECT_EQ(refusal([&] { (void)read_run(folder); }),
            folder + "/metrics.jsonl: found no finished epoch, expected one at least");
}

// Rows of older versions, and of epochs without a measurement, lack much.
TEST_F(ReportRun, TakesWhatIsMissingForNone) {
  Json first = {{"epoch", 4}}, second = search_row(5);
  for (const char* name : {"genotype", "collapse", "true_accuracy"}) second[name] = nullptr;
  second["train"]["loss"] = nullptr;
  const auto run = read_run(write_run("a", config_of("darts", "nas-bench-201", 0), {first, second}));
  ASSERT_EQ(run.epochs.size(), 2U);
  EXPECT_THAT(run.epochs[0].splits, IsEmpty());
  EXPECT_THAT(run.epochs[0].op_weights, IsEmpty());
  EXPECT_FALSE(run.epochs[1].split("train").loss);
  EXPECT_EQ(run.epochs[1].split("train").accuracy, 0.5);
  EXPECT_THAT(run.epochs[1].true_accuracy, IsEmpty());
  EXPECT_EQ(run.derived(), nullptr);
}

// An epoch that trains no alpha visits no V; its row has zeros.
TEST_F(ReportRun, KnowsWhereNoImageWasSeen) {
  Json row = search_row(1);
  row["val"] = split_row(80, 0, 0);
  const auto run = read_run(write_run("a", config_of("darts", "nas-bench-201", 0), {row}));
  EXPECT_FALSE(run.epochs[0].split("val").loss);
  EXPECT_FALSE(run.epochs[0].split("val").accuracy);
  EXPECT_EQ(run.epochs[0].split("val").samples, 80);
}

TEST_F(ReportRun, RefusesWhatIsNoSuchRunInOneLine) {
  const std::string folder = write_search("a", "darts", 0, 1);
  const auto refuse = [&](const char* field, Json value, const std::string& reason) {
    Json row = search_row(1);
    row[field] = std::move(value);
    (void)write_run("b", config_of("darts", "nas-bench-201", 0), {row});
    const std::string other = (folder_ / "b").string();
    EXPECT_EQ(refusal([&] { (void)read_run(other); }), other + "/metrics.jsonl: epoch 1: " + reason);
  };
  refuse("train", 3, "\"train\": found \"3\", expected an object or null");
  refuse("train", {{"loss", "low"}}, R"("loss": found ""low"", expected a number or null)");
  refuse("genotype", 3, "\"genotype\": found \"3\", expected a text or null");
  refuse("alpha", {1, 2}, "\"alpha\": found \"[1,2]\", expected arrays of numbers");
  refuse("op_weights", {{1, "a"}}, R"("op_weights": found "[[1,"a"]]", expected arrays of numbers)");
  refuse("collapse", {{"collapsed", 1}}, "\"collapsed\": found \"1\", expected true or false");

  (void)write_run("b", config_of("darts", "nas-bench-201", 0), {search_row(2), search_row(2)});
  const std::string other = (folder_ / "b").string();
  EXPECT_EQ(refusal([&] { (void)read_run(other); }),
            other + "/metrics.jsonl: found epoch 2 after epoch 2, expected a later one");
  write(folder_ / "b/config.toml", "[run\n");
  EXPECT_THAT(refusal([&] { (void)read_run(other); }), testing::StartsWith(other + "/config.toml:1: "));
  (void)write_run("b", "[run]\nseed = 1\n", {search_row(1)});
  EXPECT_EQ(refusal([&] { (void)read_run(other); }),
            other + "/config.toml: found no space in [search] or [network], expected one");
  std::filesystem::remove(folder_ / "b/config.toml");
  EXPECT_EQ(refusal([&] { (void)read_run(other); }), other + ": found no config.toml, expected a run directory");
  EXPECT_EQ(refusal([&] { (void)read_run(folder_ / "c"); }),
            (folder_ / "c").string() + ": found no metrics.jsonl, expected a run directory");
  EXPECT_EQ(refusal([&] { (void)read_runs({folder, folder + "/"}); }), folder + "/: is given twice");
}

TEST_F(ReportRun, OfATrainingHasItsResultWhenItHasEnded) {
  const std::string folder =
      write_run("a", "[network]\nspace = 'darts'\n\n[run]\nseed = 1\n", {training_row(1), training_row(2)});
  const auto early = read_run(folder);
  EXPECT_TRUE(early.is_training());
  EXPECT_EQ(early.method(), "training");
  EXPECT_EQ(early.space(), "darts");
  EXPECT_EQ(early.architecture(), "");
  EXPECT_EQ(early.epochs[1].split("test").top5, 0.95);
  write(folder + "/result.json", Json{{"genotype", darts_cells}, {"params", 3300000}, {"macs", 5e8}}.dump());
  const auto ended = read_run(folder);
  EXPECT_EQ(ended.architecture(), darts_cells);
  EXPECT_EQ(ended.result.params, 3.3e6);
  EXPECT_EQ(ended.result.macs, 5e8);
  write(folder + "/result.json", "[]");
  EXPECT_EQ(refusal([&] { (void)read_run(folder); }),
            folder + "/result.json: found something else, expected a JSON object");
}

TEST_F(ReportRun, IsNamedAfterItsFolderUnlessTwoAreNamedAlike) {
  const std::string first = write_search("x/a"), second = write_search("y/a"), third = write_search("x/b");
  const auto apart = read_runs({first + "/", third});
  EXPECT_EQ(apart[0].name, "a");
  EXPECT_EQ(apart[1].name, "b");
  const auto alike = read_runs({first, second, third});
  EXPECT_EQ(alike[0].name, first);
  EXPECT_EQ(alike[1].name, second);
  EXPECT_EQ(alike[2].name, "b");
}

}  // namespace
}  // namespace flowdarts::report
