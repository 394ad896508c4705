#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <flowdarts/pipeline/training/presets.hpp>
#include <flowdarts/pipeline/training/schedule.hpp>
#include <flowdarts/policies/options/option_table.hpp>
#include <flowdarts/spaces/darts/genotype.hpp>
#include <flowdarts/spaces/mobilenet/genotype.hpp>
#include <flowdarts/spaces/nas_bench_201/genotype.hpp>
#include <flowdarts/spaces/support/error.hpp>
#include <map>
#include <numbers>

namespace flowdarts {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

/// The options of a recipe.
struct Recipe {
  Recipe(std::string_view space, std::string_view preset) {
    OptionTable table;
    table.add("network", "", options.network);
    table.add("run", "", options.run);
    table.add("data", "", options.data);
    table.add("optimizer", "", options.optimizer);
    table.add("schedule", "", options.schedule);
    table.add("regularisation", "", options.regularisation);
    for (const Preset& known : training_presets(space)) table.add_preset(known);
    table.apply_preset(preset);
    check_schedule(options.schedule, options.run.epochs, options.run.batch_size);
  }
  [[nodiscard]] double lr(std::int64_t epoch) const {
    return learning_rate(options.schedule, epoch, options.run.epochs, options.run.batch_size);
  }
  TrainOptions options;
};

TEST(LearningRate, OfNasBench201IsACosineToZero) {
  const Recipe recipe(nas_bench_201::space_name, "nas-bench-201");
  EXPECT_DOUBLE_EQ(recipe.lr(0), 0.1);
  EXPECT_NEAR(recipe.lr(50), 0.1 * (1 + std::numbers::sqrt2 / 2) / 2, 1e-12);
  EXPECT_NEAR(recipe.lr(100), 0.05, 1e-12);
  EXPECT_NEAR(recipe.lr(199), 6.168376e-6, 1e-11);  // 0.1 sin(pi / 400)^2
  EXPECT_NEAR(Recipe(nas_bench_201::space_name, "nas-bench-201-12").lr(6), 0.05, 1e-12);
}

TEST(LearningRate, OfIsDartsWarmsUpAndRestsInTheEnd) {
  const Recipe recipe(darts::space_name, "is-darts-cifar");
  EXPECT_DOUBLE_EQ(recipe.lr(0), 0.005);
  EXPECT_DOUBLE_EQ(recipe.lr(4), 0.025);
  EXPECT_DOUBLE_EQ(recipe.lr(5), 0.025);  // the cosine counts from here, to 595
  EXPECT_NEAR(recipe.lr(124), 0.025 * (1 + std::cos(std::numbers::pi / 5)) / 2, 1e-12);
  EXPECT_GT(recipe.lr(594), 0);
  for (std::int64_t epoch = 595; epoch < 600; ++epoch) EXPECT_EQ(recipe.lr(epoch), 0);
}

TEST(LearningRate, OfDartsOnImageNetFallsByAFactorAnEpoch) {
  const Recipe recipe(darts::space_name, "darts-imagenet");
  EXPECT_DOUBLE_EQ(recipe.lr(0), 0.1);
  EXPECT_DOUBLE_EQ(recipe.lr(1), 0.097);
  EXPECT_NEAR(recipe.lr(10), 0.0737424, 1e-7);
}

TEST(LearningRate, OfPcDartsOnImageNetIsALineWithATail) {
  const Recipe recipe(darts::space_name, "pc-darts-imagenet");
  EXPECT_DOUBLE_EQ(recipe.lr(0), 0.1);  // 0.5 (e + 1) / 5
  EXPECT_DOUBLE_EQ(recipe.lr(4), 0.5);
  EXPECT_NEAR(recipe.lr(5), 0.489795918, 1e-9);    // 0.5 * 240 / 245
  EXPECT_NEAR(recipe.lr(244), 0.002040816, 1e-9);  // 0.5 * 1 / 245
  EXPECT_NEAR(recipe.lr(245), 0.002040816, 1e-9);  // 0.5 * 5 / (5 * 245)
  EXPECT_NEAR(recipe.lr(249), 0.000408163, 1e-9);  // 0.5 * 1 / (5 * 245)
}

TEST(LearningRate, OfPDartsOnImageNetWarmsUpForLargeBatchesOnly) {
  Recipe recipe(darts::space_name, "p-darts-imagenet");
  EXPECT_DOUBLE_EQ(recipe.lr(0), 0.1);
  recipe.options.run.batch_size = 512;
  EXPECT_DOUBLE_EQ(recipe.lr(0), 0.02);
  EXPECT_NEAR(recipe.lr(4), 0.098367347, 1e-9);  // 0.1 * 241 / 245 * 5 / 5
  EXPECT_NEAR(recipe.lr(5), 0.097959184, 1e-9);
}

TEST(LearningRate, OfDnaGrowsFromASmallOneAndFallsEveryThirdEpoch) {
  const Recipe recipe(mobilenet::space_name, "mobilenet");
  EXPECT_DOUBLE_EQ(recipe.lr(0), 1e-4);
  EXPECT_NEAR(recipe.lr(1), 0.01288, 1e-12);
  EXPECT_NEAR(recipe.lr(5), 0.061632, 1e-12);
  EXPECT_NEAR(recipe.lr(6), 0.059351616, 1e-12);
  EXPECT_DOUBLE_EQ(recipe.lr(8), recipe.lr(6));
}

TEST(LearningRate, RefusesTooFewEpochs) {
  ScheduleOptions options;
  options.schedule = ScheduleKind::linear;
  EXPECT_THAT([&] { check_schedule(options, 5, 64); },
              ThrowsMessage<InputError>(HasSubstr("--schedule: found linear with --epochs 5")));
  check_schedule(options, 6, 64);
  options.schedule = ScheduleKind::cosine;
  options.warmup_epochs = 5;
  EXPECT_THAT([&] { check_schedule(options, 9, 64); },
              ThrowsMessage<InputError>("--warmup-epochs: found 5 with --epochs 9, expected at most 4, half of them"));
  options.warmup_above = 64;
  check_schedule(options, 1, 64);
}

TEST(DropPath, GrowsWithTheEpochInCells) {
  EXPECT_EQ(drop_path_probability(0.2, darts::space_name, 0, 600), 0);
  EXPECT_DOUBLE_EQ(drop_path_probability(0.2, darts::space_name, 300, 600), 0.1);
  EXPECT_DOUBLE_EQ(drop_path_probability(0.3, darts::space_name, 599, 600), 0.2995);
  EXPECT_DOUBLE_EQ(drop_path_probability(0.2, mobilenet::space_name, 0, 600), 0.2);
}

TEST(TrainingPresets, AreThePapersColumns) {
  // preset: epochs, batch, lr, momentum, nesterov, weight decay, clip, cutout, auxiliary weight, drop path, smoothing
  const std::map<std::string, std::vector<double>> expected{
      {"nas-bench-201", {200, 256, 0.1, 0.9, 1, 5e-4, 0, 0, 0, 0, 0}},
      {"nas-bench-201-12", {12, 256, 0.1, 0.9, 1, 5e-4, 0, 0, 0, 0, 0}},
      {"darts-cifar", {600, 96, 0.025, 0.9, 0, 3e-4, 5, 16, 0.4, 0.2, 0}},
      {"pc-darts-cifar", {600, 96, 0.025, 0.9, 0, 3e-4, 5, 16, 0.4, 0.3, 0}},
      {"p-darts-cifar", {600, 128, 0.025, 0.9, 0, 3e-4, 5, 16, 0.4, 0.3, 0}},
      {"is-darts-cifar", {600, 96, 0.025, 0.9, 1, 3e-4, 0, 16, 0.4, 0.2, 0}},
      {"darts-imagenet", {250, 128, 0.1, 0.9, 0, 3e-5, 5, 0, 0.4, 0, 0.1}},
      {"pc-darts-imagenet", {250, 1024, 0.5, 0.9, 0, 3e-5, 5, 0, 0.4, 0, 0.1}},
      {"p-darts-imagenet", {250, 256, 0.1, 0.9, 0, 3e-5, 5, 0, 0.4, 0, 0.1}},
      {"is-darts-imagenet", {250, 128, 0.1, 0.9, 1, 3e-5, 0, 0, 0.4, 0, 0.1}},
      {"mobilenet", {500, 1024, 0.064, 0.9, 0, 1e-4, 0, 0, 0, 0.2, 0.1}},
  };
  std::size_t found = 0;
  for (const std::string_view space : {nas_bench_201::space_name, darts::space_name, mobilenet::space_name}) {
    const std::vector<Preset> presets = training_presets(space);
    EXPECT_EQ(presets.back().name, "quick");
    for (const Preset& preset : presets) {
      const Recipe recipe(space, preset.name);  // every value fits its option
      if (preset.name == "quick") continue;
      ++found;
      const TrainOptions& o = recipe.options;
      EXPECT_EQ(
          expected.at(preset.name),
          (std::vector<double>{static_cast<double>(o.run.epochs), static_cast<double>(o.run.batch_size), o.schedule.lr,
                               o.optimizer.momentum, o.optimizer.nesterov ? 1.0 : 0.0, o.optimizer.weight_decay,
                               o.optimizer.clip, static_cast<double>(o.data.cutout), o.regularisation.auxiliary_weight,
                               o.regularisation.drop_path, o.regularisation.label_smoothing}))
          << preset.name;
    }
  }
  EXPECT_EQ(found, expected.size());
}

}  // namespace
}  // namespace flowdarts
