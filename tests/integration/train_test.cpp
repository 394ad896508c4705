// `flowdarts train`: whole trainings, on a folder of images that the tests write.

#include <algorithm>
#include <flowdarts/spaces/darts/genotype.hpp>
#include <flowdarts/spaces/stand_alone/spec.hpp>
#include <flowdarts/spaces/support/random.hpp>

#include "../stages/load/test_images.hpp"
#include "search_process.hpp"

namespace flowdarts::integration {
namespace {

using ::testing::ContainsRegex;
using ::testing::HasSubstr;

const std::string cell = "|nor_conv_3x3~0|+|none~0|nor_conv_1x1~1|+|skip_connect~0|avg_pool_3x3~1|none~2|";
const std::string layers =
    "k3e3,skip,skip,k5e3,k3e3,skip,skip,skip,k3e3,skip,skip,skip,k3e3,skip,skip,skip,k3e3,skip,skip,skip,k3e3";
const std::string program = "flowdarts-train";

/// A folder that vanishes, with six classes of images of 32 x 32: six of each to train on and three to test on, in
/// their class's colour, with noise.
class Trainings : public Searches {
 protected:
  void SetUp() override {
    CounterRng rng(3, Stream::noise);
    for (int label = 0; label < 6; ++label) {
      for (int image = 0; image < 9; ++image) {
        flowdarts::testing::Bytes pixels;
        for (int i = 0; i < 32 * 32; ++i) {
          for (int channel = 0; channel < 3; ++channel) {
            const int colour = 30 + 60 * ((label >> channel) % 2) + 40 * (label % 3 == channel ? 1 : 0);
            pixels.push_back(static_cast<std::uint8_t>(colour + static_cast<int>(rng.below(64))));
          }
        }
        const fs::path folder = folder_ / (image < 6 ? "images" : "tests");
        flowdarts::testing::write_file(folder / ("class" + std::to_string(label)) / (std::to_string(image) + ".png"),
                                       flowdarts::testing::encode_png(pixels, 32, 32));
      }
    }
  }

  /// A training as small as they come, of 18 steps an epoch.
  [[nodiscard]] Arguments tiny_training(const std::string& run, const std::string& genotype) const {
    Arguments arguments{"--genotype",   genotype,
                        "--dataset",    "folder",
                        "--data",       (folder_ / "images").string(),
                        "--test-data",  (folder_ / "tests").string(),
                        "--out",        (folder_ / run).string(),
                        "--epochs",     "2",
                        "--batch-size", "2",
                        "--threads",    "1"};
    if (genotype.starts_with('k')) {
      arguments = arguments + Arguments{"--widths", "4,4,4,4,4,4,4,4,8", "--stem-stride", "1", "--preset", "quick"};
    } else {
      arguments = arguments + Arguments{"--channels", "2"};
      arguments = arguments + Arguments{"--cells", genotype.starts_with('|') ? "1" : "3"};
    }
    return arguments;
  }

  void expect_refused_to_train(const Arguments& arguments, const std::string& line) const {
    const Outcome outcome = run(program, arguments);
    EXPECT_EQ(outcome.code, 2) << outcome.err;
    EXPECT_EQ(outcome.out, "");
    EXPECT_THAT(outcome.complaints(), ::testing::ElementsAre(HasSubstr(line)));
  }

  [[nodiscard]] Json result(const std::string& run) const { return Json::parse(read(folder_ / run / "result.json")); }
};

/// Two finished trainings are one and the same.
void expect_same_training(const fs::path& found, const fs::path& expected) {
  EXPECT_EQ(checkpoints(found).back().filename(), checkpoints(expected).back().filename());
  EXPECT_TRUE(read(checkpoints(found).back()) == read(checkpoints(expected).back()));
  EXPECT_EQ(read(found / "result.json"), read(expected / "result.json"));
  EXPECT_EQ(timeless_metrics(found), timeless_metrics(expected));
}

class OfEachSpace : public Trainings, public ::testing::WithParamInterface<std::string> {};

TEST_P(OfEachSpace, EndInAResult) {
  const std::string& genotype = GetParam();
  finish(program, tiny_training("run", genotype));
  const fs::path run = folder_ / "run";
  const Json found = result("run");
  const Architecture architecture = read_architecture(genotype);
  EXPECT_EQ(found["space"], space_of(architecture));
  EXPECT_EQ(found["genotype"], genotype);
  EXPECT_EQ(found["epochs"], 2);
  StandAlone network{architecture,
                     {.classes = 6,
                      .channels = 2,
                      .cells = genotype.starts_with('|') ? 1 : 3,
                      .auxiliary = genotype.starts_with('G'),
                      .widths = mobilenet::parse_widths("4,4,4,4,4,4,4,4,8"),
                      .stem_stride = 1}};
  const StandAloneCounts counts = count_network(network);
  EXPECT_EQ(found["params"], counts.params);
  EXPECT_EQ(found["macs"], counts.macs);
  EXPECT_EQ(found["auxiliary_params"], counts.auxiliary_params);

  const auto rows = timeless_metrics(run);
  ASSERT_EQ(rows.size(), 2U);
  EXPECT_EQ(rows[1]["train"]["samples"], 36);
  EXPECT_EQ(found["test"]["images"], 18);
  EXPECT_EQ(found["test"]["accuracy"], rows[1]["test"]["accuracy"]);
  EXPECT_EQ(found["test"]["top5"], rows[1]["test"]["top5"]);
  EXPECT_GE(found["test"]["top5"].get<double>(), found["test"]["accuracy"].get<double>());
  const auto accuracy = [&](std::size_t row) { return rows[row]["test"]["accuracy"].get<double>(); };
  EXPECT_EQ(found["best"]["accuracy"], std::max(accuracy(0), accuracy(1)));
  EXPECT_EQ(found["best"]["epoch"], accuracy(1) > accuracy(0) ? 2 : 1);
  EXPECT_EQ(read_checkpoint(checkpoints(run).back()).section("network").get_string(), to_json(network));
  EXPECT_EQ(read_architecture(run.string()), architecture);
  // What a run directory says can be trained again, and then comes to the same.
  finish(program, {"--config", (run / "config.toml").string(), "--out", (folder_ / "again").string()});
  EXPECT_EQ(result("again"), found);
}

INSTANTIATE_TEST_SUITE_P(Spaces, OfEachSpace, ::testing::Values(cell, to_string(darts::Genotype{}), layers));

TEST_F(Trainings, LearnWhatTheyAreShown) {
  finish(program, tiny_training("run", cell) +
                      Arguments{"--channels", "8", "--epochs", "6", "--batch-size", "6", "--padding", "0"});
  const auto rows = timeless_metrics(folder_ / "run");
  EXPECT_LT(rows.back()["train"]["loss"].get<double>(), 0.5 * rows.front()["train"]["loss"].get<double>());
  EXPECT_GT(result("run")["test"]["accuracy"].get<double>(), 0.8);
}

TEST_F(Trainings, GoOnAfterASignalBitForBit) {
  // With all that has a state or draws random numbers: averaged weights, RMSprop's two buffers, dropout, RandAugment.
  const Arguments options =
      tiny_training("run", layers) +
      Arguments{"--epochs",  "3",   "--optimizer", "rmsprop", "--lr",           "0.01", "--average-decay", "0.9",
                "--dropout", "0.2", "--drop-path", "0.2",     "--rand-augment", "2",    "--jitter-hue",    "0.1"};
  finish(program, options + Arguments{"--out", (folder_ / "unbroken").string()});
  const fs::path run = folder_ / "run";
  Process process(program, options, folder_.path());
  ASSERT_TRUE(process.wait_until([&] { return !checkpoints(run).empty(); }));
  process.signal(SIGINT);
  const Outcome outcome = process.wait();
  EXPECT_EQ(outcome.code, 128 + SIGINT) << outcome.err;
  EXPECT_THAT(outcome.complaints(),
              ::testing::ElementsAre("SIGINT: stopping after this step; a second signal stops at once"));
  EXPECT_THAT(outcome.err, ContainsRegex("interrupted in epoch [23] after step [0-9]+; --resume continues there"));
  EXPECT_FALSE(fs::exists(run / "result.json"));
  finish(program, {"--resume", "--out", run.string()});
  expect_same_training(run, folder_ / "unbroken");
}

TEST_F(Trainings, GoOnAfterAKillBitForBit) {
  const Arguments options =
      tiny_training("run", to_string(darts::Genotype{})) +
      Arguments{"--epochs", "3", "--drop-path", "0.3", "--cutout", "8", "--label-smoothing", "0.1"};
  finish(program, options + Arguments{"--out", (folder_ / "unbroken").string()});
  const fs::path run = folder_ / "run";
  Process process(program, options, folder_.path());
  ASSERT_TRUE(process.wait_until([&] { return !checkpoints(run).empty(); }));
  process.signal(SIGKILL);
  process.wait();
  finish(program, {"--resume", "--out", run.string()});
  expect_same_training(run, folder_ / "unbroken");
  // A finished one says its end again.
  const Outcome again = Searches::run(program, {"--resume", "--out", run.string()});
  EXPECT_EQ(again.code, 0) << again.err;
  EXPECT_THAT(again.out, HasSubstr("test accuracy"));
  expect_same_training(run, folder_ / "unbroken");
}

TEST_F(Trainings, DependOnTheirSeedAndNotOnTheirLoaders) {
  finish(program, tiny_training("one", cell));
  finish(program, tiny_training("three", cell) + Arguments{"--loader-threads", "3", "--prefetch", "3",
                                                           "--reader-threads", "2", "--read-ahead", "1"});
  expect_same_training(folder_ / "three", folder_ / "one");
  finish(program, tiny_training("other", cell) + Arguments{"--seed", "1"});
  EXPECT_NE(timeless_metrics(folder_ / "other"), timeless_metrics(folder_ / "one"));
}

TEST_F(Trainings, AreHandedOverByFlowdarts) {
  const Outcome outcome = run("flowdarts", Arguments{"train"} + tiny_training("run", cell) + Arguments{"--dry-run"});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("lr = 0.1\n"));  // the recipe of its space
  EXPECT_THAT(outcome.out, HasSubstr("# folder: 36 training and 18 test images of 6 classes\n"));
  EXPECT_THAT(outcome.out, HasSubstr("# 2 epochs of 18 steps\n"));
  EXPECT_FALSE(fs::exists(folder_ / "run"));
  EXPECT_THAT(run("flowdarts", {"train", "--help"}).out, HasSubstr("Usage: flowdarts train [options]"));
}

TEST_F(Trainings, RefuseBadInputInOneLine) {
  const Arguments good = tiny_training("run", cell);
  expect_refused_to_train(good + Arguments{"--genotype", "resnet"},
                          "flowdarts-train: --genotype: \"resnet\": found no such file and no architecture string");
  expect_refused_to_train(good + Arguments{"--space", "resnets"}, "--space: found \"resnets\"");
  expect_refused_to_train(good + Arguments{"--preset", "darts-cifar"},
                          "--preset: found \"darts-cifar\", expected one of nas-bench-201, nas-bench-201-12, quick");
  expect_refused_to_train(good + Arguments{"--epochz", "3"}, "unknown option --epochz; did you mean '--epochs'?");
  expect_refused_to_train(good + Arguments{"--drop-path", "0.2"}, "--drop-path: is an option of");
  expect_refused_to_train(good + Arguments{"--schedule", "linear"}, "--schedule: found linear with --epochs 2");
  expect_refused_to_train(good + Arguments{"--image-size", "30"}, "expected 4 to 4096, a multiple of 4");
  expect_refused_to_train(good + Arguments{"--test-data", (folder_ / "nowhere").string()}, "nowhere");
  fs::rename(folder_ / "tests" / "class3", folder_ / "tests" / "other");
  expect_refused_to_train(good, "found 6 classes, expected the 6 of --data");
  EXPECT_FALSE(fs::exists(folder_ / "run"));
  fs::rename(folder_ / "tests" / "other", folder_ / "tests" / "class3");

  finish(program, good);
  expect_refused_to_train(good, "already holds a run");
  expect_refused_to_train({"--resume", "--out", (folder_ / "run").string(), "--lr", "0.2"}, "--lr");
  expect_refused_to_train({"--resume", "--out", (folder_ / "nowhere").string()}, "found no config.toml");
}

TEST_F(Trainings, StopAtANonFiniteLoss) {
  const Outcome outcome = run(program, tiny_training("run", cell) + Arguments{"--lr", "1e30"});
  EXPECT_EQ(outcome.code, 1);
  ASSERT_EQ(outcome.complaints().size(), 1U) << outcome.err;
  EXPECT_THAT(outcome.complaints().front(),
              ContainsRegex("epoch 1.*first tensor that is not finite: .*checkpoint: none"));
  EXPECT_FALSE(fs::exists(folder_ / "run" / "result.json"));
}

}  // namespace
}  // namespace flowdarts::integration
