// Bad command lines and configuration files: exit code 2, one line that says what was found and what was expected, and
// nothing left behind.

#include "../stages/load/test_images.hpp"
#include "search_process.hpp"

namespace flowdarts::integration {
namespace {

struct BadLine {
  Arguments arguments;
  std::vector<std::string> texts;
};

TEST_F(Searches, RefuseBadCommandLines) {
  const fs::path nowhere = folder_ / "nowhere";
  const std::vector<BadLine> bad{
      {{"--epoch", "3"}, {"unknown option --epoch", "did you mean '--epochs'"}},
      {{"--prune-windw=3"}, {"unknown option --prune-windw", "did you mean '--prune-window'"}},
      {{"--no-prune-balanc"}, {"unknown option --no-prune-balanc", "did you mean '--no-prune-balance'"}},
      {{"--epochs", "0"}, {"--epochs", "found 0", "expected a value", "1"}},
      {{"--epochs", "many"}, {"--epochs", "found \"many\"", "expected a whole number"}},
      {{"--epochs", "1e3"}, {"--epochs", "found \"1e3\"", "expected a whole number"}},
      {{"--epochs"}, {"--epochs"}},
      {{"--epochs", "99999999999999999999"}, {"--epochs", "99999999999999999999"}},
      {{"--seed", "-1"}, {"--seed", "found -1"}},
      {{"--w-momentum", "1"}, {"--w-momentum", "found 1", "expected a value"}},
      {{"--w-lr", "nan"}, {"--w-lr", "found \"nan\"", "expected a number"}},
      {{"--prune-ratio-train", "1.0"}, {"--prune-ratio-train", "found 1.0"}},
      {{"--prune-window", "9", "--epochs", "4"}, {"--prune-window", "found 9", "--epochs, which is 4"}},
      {{"--dataset", "cifar11"},
       {"--dataset", "found \"cifar11\"", "fashion-mnist, mnist, cifar10, cifar100, imagenet16-120, folder"}},
      {{"--device", "gpu"}, {"--device", "found \"gpu\"", "cpu, cuda"}},
      {{"--precision", "fp16"}, {"--precision", "found \"fp16\"", "fp32, tf32, bf16"}},
      {{"--precision", "tf32"}, {"--precision: found tf32 with --device cpu", "expected fp32 or bf16"}},
      {{"--mixed-op", "oracle", "--precision", "bf16"}, {"--precision", "found bf16", "--mixed-op oracle"}},
      {{"--prefetch", "1"}, {"--prefetch", "found 1", "2"}},
      {{"--reader-threads", "0"}, {"--reader-threads", "found 0", "1 to 1024"}},
      {{"--read-ahead", "0"}, {"--read-ahead", "found 0", "1"}},
      {{"--train-portion", "1"}, {"--train-portion", "found 1"}},
      {{"--padding", "40"}, {"padding", "40", "expected 0 to 32"}},
      {{"--image-size", "48"}, {"image size 48", "expected 32"}},
      {{"--preset", "bdp-c100"}, {"--preset", "found \"bdp-c100\"", "bdp-c10, bdp-50, bdp-asym, bdp-mobile"}},
      {{"--config", nowhere.string()}, {nowhere.string()}},
      {{"--data", nowhere.string()}, {nowhere.string()}},
      {{"--benchmark-table", nowhere.string()}, {nowhere.string()}},
      {{"surplus"}, {"unexpected argument surplus"}},
  };
  for (const BadLine& line : bad) {
    SCOPED_TRACE(line.arguments.front());
    expect_refused(bdp_darts, tiny("run") + line.arguments, line.texts);
    EXPECT_FALSE(fs::exists(folder_ / "run"));
  }
}

TEST_F(Searches, RefuseBadConfigurationFiles) {
  const fs::path config = folder_ / "config.toml";
  const std::string file = config.string();
  const std::vector<std::pair<std::string, std::vector<std::string>>> bad{
      {"[run]\nepoch = 3\n", {file + ":2", "[run] epoch", "unknown key", "did you mean 'epochs'"}},
      {"[rnu]\nepochs = 3\n", {file + ":1", "unknown section \"rnu\"", "did you mean 'run'"}},
      {"epochs = 3\n", {file + ":1", "\"epochs\"", "outside"}},
      {"[run]\nepochs = 0\n", {file + ":2", "[run] epochs", "found 0", "expected a value"}},
      {"[run]\nepochs = 'three'\n", {file + ":2", "[run] epochs", "found \"three\"", "expected a whole number"}},
      {"[run]\nepochs = [3]\n", {file + ":2", "[run] epochs", "expected a whole number"}},
      {"[run]\nepochs = \n", {file + ":2"}},
      {"[prune]\nbalance = 1\n", {file + ":2", "[prune] balance", "found \"1\"", "expected true or false"}},
      {"[search]\nmethod = 'darts'\n", {file + ":2", "found \"darts\"", "'bdp-darts'"}},
      {"[search]\nspace = 'darts'\n", {file + ":2", "found \"darts\"", "'nas-bench-201'"}},
  };
  for (const auto& [text, texts] : bad) {
    SCOPED_TRACE(text);
    write(config, text);
    expect_refused(bdp_darts, tiny("run") + Arguments{"--config", file}, texts);
    EXPECT_FALSE(fs::exists(folder_ / "run"));
  }
}

TEST_F(Searches, TheCommandLineWinsOverTheConfiguration) {
  write(folder_ / "config.toml", "[run]\nseed = 3\nepochs = 7\n");
  const Outcome outcome =
      run(darts, tiny("run") + Arguments{"--seed", "4", "--dry-run", "--config", (folder_ / "config.toml").string()});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, ::testing::HasSubstr("\nseed = 4\n"));
  EXPECT_THAT(outcome.out, ::testing::HasSubstr("\nepochs = 7\n"));
}

TEST_F(Searches, ADryRunWritesNothingAndItsConfigurationCanBeRun) {
  const auto before = contents(data_);
  const Arguments options{"--epochs", "2", "--prune-window", "1", "--seed", "9"};
  const Outcome dry = run(bdp_darts, tiny("run") + options + Arguments{"--dry-run"});
  EXPECT_EQ(dry.code, 0) << dry.err;
  EXPECT_EQ(dry.err, "");
  EXPECT_FALSE(fs::exists(folder_ / "run"));
  EXPECT_EQ(contents(data_), before);
  EXPECT_THAT(dry.out, ::testing::HasSubstr("60 images of 10 classes, T 30, V 30"));
  EXPECT_THAT(dry.out, ::testing::HasSubstr("2 epochs of 3 steps"));

  expect_refused(bdp_darts, tiny("run") + Arguments{"--dry-run", "--epochs", "2"}, {"--prune-window", "found 5"});

  write(folder_ / "dry.toml", dry.out);
  finish(bdp_darts, {"--config", (folder_ / "dry.toml").string()});
  EXPECT_TRUE(dry.out.starts_with(read(folder_ / "run/config.toml")));
}

// A folder of 16 x 16 images is one of fixed size, as the published files are.
TEST_F(Searches, PresetForImageNet16TakesAFolderToo) {
  const auto png = flowdarts::testing::encode_png(flowdarts::testing::pattern(16, 16, 3), 16, 16);
  for (const char* name : {"a/1", "a/2", "b/1", "b/2"}) {
    flowdarts::testing::write_file(folder_ / "images" / (std::string(name) + ".png"), png);
  }
  const Arguments options{"--preset",   "imagenet16-120",
                          "--dataset",  "folder",
                          "--data",     (folder_ / "images").string(),
                          "--channels", "1",
                          "--cells",    "1",
                          "--epochs",   "1",
                          "--threads",  "1",
                          "--out",      (folder_ / "run").string()};
  const Outcome dry = run(darts, options + Arguments{"--dry-run"});
  EXPECT_EQ(dry.code, 0) << dry.err;
  EXPECT_THAT(dry.out, ::testing::HasSubstr("padding = 2\n"));
  EXPECT_THAT(dry.out, ::testing::HasSubstr("4 images of 2 classes, T 2, V 2"));
  finish(darts, options);
  expect_valid_genotype(folder_ / "run");
}

TEST_F(Searches, HelpNamesEveryOptionOfTheRecordedConfiguration) {
  const Outcome help = run(bdp_darts, {"--help"});
  EXPECT_EQ(help.code, 0);
  EXPECT_EQ(help.err, "");
  std::istringstream config(run(bdp_darts, tiny("run") + Arguments{"--dry-run"}).out);
  const std::map<std::string, std::string> prefixes{{"weights", "w-"}, {"alpha", "alpha-"}, {"prune", "prune-"}};
  std::string section;
  int options = 0;
  for (std::string line; std::getline(config, line);) {
    if (line.starts_with("[")) section = line.substr(1, line.size() - 2);
    const std::size_t end = line.find(" = ");
    if (section == "search" || line.starts_with("#") || end == std::string::npos) continue;
    const auto prefix = prefixes.find(section);
    const std::string flag = (prefix == prefixes.end() ? "" : prefix->second) + line.substr(0, end);
    EXPECT_THAT(help.out, ::testing::ContainsRegex("--(\\[no-\\])?" + flag + "[ \n]"));
    ++options;
  }
  EXPECT_GE(options, 40);
}

}  // namespace
}  // namespace flowdarts::integration
