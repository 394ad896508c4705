#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <flowdarts/policies/options/option_table.hpp>
#include <flowdarts/spaces/support/error.hpp>
#include <fstream>

namespace flowdarts {
namespace {

using ::testing::HasSubstr;

enum class Colour : std::uint8_t { red, green };
constexpr std::array<std::pair<Colour, std::string_view>, 2> names_of(Colour) {
  return {{{Colour::red, "red"}, {Colour::green, "green"}}};
}

struct Sample {
  BOOST_HANA_DEFINE_STRUCT(Sample, (Option<std::int64_t, "epochs of the search", 50, AtLeast{1}>, epochs),
                           (Option<double, "part, removed", 0.15, HalfOpen{0.0, 1.0}>, ratio_train),
                           (Option<bool, "class caps", true>, balance),
                           (Option<Colour, "the colour", Colour::red>, colour),
                           (TextOption<"where to write", "runs">, out));
};

class Options : public ::testing::Test {
 protected:
  Options() { table.add("prune", "prune", sample); }

  OptionTable::CommandLine parse(std::vector<const char*> arguments) {
    arguments.insert(arguments.begin(), "program");
    return table.read_command_line(arguments, "darts", "nas-bench-201");
  }

  std::string refusal(std::vector<const char*> arguments) {
    try {
      parse(std::move(arguments));
    } catch (const InputError& error) {
      EXPECT_THAT(error.what(), ::testing::Not(HasSubstr("\n")));
      return error.what();
    }
    return "(accepted)";
  }

  std::string refused_toml(const std::string& text) {
    const std::string file = ::testing::TempDir() + "option_table_test.toml";
    std::ofstream(file) << text;
    return refusal({"--config", file.c_str()});
  }

  Sample sample;
  OptionTable table;
};

TEST_F(Options, DefaultsComeFromTheirTypes) {
  EXPECT_EQ(sample.epochs, 50);
  EXPECT_EQ(sample.ratio_train, 0.15);
  EXPECT_EQ(std::string(sample.out), "runs");
}

TEST_F(Options, CommandLineSetsEveryKind) {
  parse({"--prune-epochs", "7", "--prune-ratio-train=0.25", "--no-prune-balance", "--prune-colour", "green",
         "--prune-out", "a b"});
  EXPECT_EQ(sample.epochs, 7);
  EXPECT_EQ(sample.ratio_train, 0.25);
  EXPECT_FALSE(sample.balance);
  EXPECT_EQ(sample.colour, Colour::green);
  EXPECT_EQ(std::string(sample.out), "a b");
}

TEST_F(Options, RefusalsNameOptionFoundAndExpected) {
  EXPECT_EQ(refusal({"--prune-epochs", "0"}), "--prune-epochs: found 0, expected a value at least 1");
  EXPECT_EQ(refusal({"--prune-ratio-train", "1"}), "--prune-ratio-train: found 1, expected a value from 0 to below 1");
  EXPECT_EQ(refusal({"--prune-ratio-train", "nan"}), "--prune-ratio-train: found \"nan\", expected a number");
  EXPECT_EQ(refusal({"--prune-epochs", "5x"}), "--prune-epochs: found \"5x\", expected a whole number");
  EXPECT_EQ(refusal({"--prune-colour", "blue"}), "--prune-colour: found \"blue\", expected one of red, green");
  EXPECT_EQ(refusal({"--prune-epoch", "5"}), "unknown option --prune-epoch; did you mean '--prune-epochs'?");
  EXPECT_EQ(refusal({"stray"}), "unexpected argument stray");
  EXPECT_EQ(refusal({"--prune-epochs"}), "--prune-epochs: found no value, expected one");
  EXPECT_EQ(refusal({"--prune-epochs", "1", "--prune-epochs", "2"}), "--prune-epochs: found twice, expected once");
  EXPECT_EQ(refusal({"--prune-epochs", "9223372036854775808"}),
            "--prune-epochs: found \"9223372036854775808\", expected a whole number below 2^63");
  EXPECT_EQ(refusal({"--prune-ratio-train", "1e400"}),
            "--prune-ratio-train: found \"1e400\", expected a number that a double can hold");
}

TEST_F(Options, TomlRefusalsNameFileLineAndNearestKey) {
  EXPECT_THAT(refused_toml("[prune]\nepochs = 3\nepoch = 4\n"),
              HasSubstr(".toml:3: [prune] epoch: unknown key; did you mean 'epochs'?"));
  EXPECT_THAT(refused_toml("[prun]\nepochs = 3\n"),
              HasSubstr(".toml:1: unknown section \"prun\"; did you mean 'prune'?"));
  EXPECT_THAT(refused_toml("[prune]\nepochs = 'x'\n"), HasSubstr("found \"x\", expected a whole number"));
  EXPECT_THAT(refused_toml("[prune\n"), HasSubstr(".toml:1"));
  EXPECT_THAT(refused_toml("epochs = 3\n"), HasSubstr("key \"epochs\" stands outside a [section]"));
  EXPECT_THAT(refused_toml("[search]\nmethod = 'bdp-darts'\n"),
              HasSubstr("found \"bdp-darts\", but this program is 'darts'"));
}

TEST_F(Options, AConfigurationThatCannotBeReadIsRefused) {
  const std::string folder = ::testing::TempDir();
  EXPECT_EQ(refusal({"--config", folder.c_str()}), folder + ": is a folder, expected a TOML file");
  EXPECT_EQ(refusal({"--config", "/nowhere.toml"}), "/nowhere.toml: cannot be read: No such file or directory");
}

TEST_F(Options, RecordedConfigurationReadsBackTheSame) {
  parse({"--prune-ratio-train", "0.1000000000000000055", "--prune-out", "with \"quotes\" and \\", "--prune-colour",
         "green", "--no-prune-balance"});
  const std::string recorded = table.to_toml("darts", "nas-bench-201");
  const std::string file = ::testing::TempDir() + "recorded.toml";
  std::ofstream(file) << recorded;
  Sample other;
  OptionTable again;
  again.add("prune", "prune", other);
  const std::vector<const char*> arguments{"program", "--config", file.c_str()};
  again.read_command_line(arguments, "darts", "nas-bench-201");
  EXPECT_EQ(again.to_toml("darts", "nas-bench-201"), recorded);
  EXPECT_EQ(std::string(other.out), "with \"quotes\" and \\");
}

TEST_F(Options, CommandLineWinsOverFileAndFileOverPreset) {
  table.add_preset(
      {"small", "a preset", {{"prune-epochs", "3"}, {"prune-ratio-train", "0.5"}, {"prune-out", "preset"}}});
  const std::string file = ::testing::TempDir() + "precedence.toml";
  std::ofstream(file) << "[prune]\nepochs = 4\nratio-train = 0.6\n";
  parse({"--prune-epochs", "5", "--config", file.c_str(), "--preset", "small"});
  EXPECT_EQ(sample.epochs, 5);
  EXPECT_EQ(sample.ratio_train, 0.6);
  EXPECT_EQ(std::string(sample.out), "preset");
  // What another policy adds to the preset: its values win.
  table.add_preset({.name = "small", .values = {{"prune-epochs", "4"}}});
  parse({"--preset", "small"});
  EXPECT_EQ(sample.epochs, 4);
  EXPECT_EQ(sample.ratio_train, 0.5);
  // One preset on top of another, with all that is said to that.
  table.add_preset({.name = "larger", .values = {{"prune-epochs", "9"}}, .base = "small"});
  table.add_preset({.name = "small", .values = {{"prune-ratio-train", "0.75"}}});
  parse({"--preset", "larger"});
  EXPECT_EQ(sample.epochs, 9);
  EXPECT_EQ(sample.ratio_train, 0.75);
  EXPECT_EQ(std::string(sample.out), "preset");
  EXPECT_EQ(refusal({"--preset", "large"}), "--preset: found \"large\", expected one of small, larger");
}

TEST_F(Options, HelpNamesFlagRangeAndDefault) {
  const std::string help = table.help("program", "searches the space nas-bench-201 with darts");
  EXPECT_THAT(help, HasSubstr("--prune-ratio-train VALUE"));
  EXPECT_THAT(help, HasSubstr("part, removed (from 0 to below 1, default 0.15)"));
  EXPECT_THAT(help, HasSubstr("--[no-]prune-balance"));
  EXPECT_THAT(help, HasSubstr("(red|green, default red)"));
}

}  // namespace
}  // namespace flowdarts
