// Every preset of every recipe names options that its program has, and makes a search that may begin.

#include <flowdarts/pipeline/search_main.hpp>
#include <flowdarts/policies/recipes.hpp>
#include <flowdarts/spaces/darts/space.hpp>
#include <flowdarts/spaces/mobilenet/space.hpp>
#include <flowdarts/spaces/nas_bench_201/space.hpp>

#include <gtest/gtest.h>

#include <type_traits>

namespace flowdarts {
namespace {

/// The options after `--preset name`.
template <class Method>
SearchOptions<Method> options_of(const char* preset) {
  SearchOptions<Method> options;
  OptionTable table;
  add_options(table, options);
  const char* const arguments[] = {"program", "--preset", preset};
  table.read_command_line(arguments, "recipe", Method::Space::name);
  return options;
}

template <class Method>
void expect_presets_fit(const char* recipe) {
  const bool bench = std::is_same_v<typename Method::Space, NasBench201>;
  for (const char* preset : {"paper", "quick", bench ? "imagenet16-120" : "imagenet"}) {
    SCOPED_TRACE(std::string(recipe) + " on " + Method::Space::name + ", " + preset);
    try {
      const auto options = options_of<Method>(preset);
      typename Method::Space space(options.space);
      Method::for_each_role([&]<class Role, class Policy>() {
        const Policy policy(options.policies[boost::hana::type_c<Role>]);
        if constexpr (ChecksEpochs<Policy>) policy.check(options.run.epochs);
      });
    } catch (const InputError& error) {
      ADD_FAILURE() << error.what();
    }
  }
}

#define FLOWDARTS_EXPECT_PRESETS(space, recipe) expect_presets_fit<recipes::recipe<space>>(#recipe)

template <class Space>
void expect_presets_of_any_space() {
  FLOWDARTS_EXPECT_PRESETS(Space, Darts);
  FLOWDARTS_EXPECT_PRESETS(Space, DartsSecondOrder);
  FLOWDARTS_EXPECT_PRESETS(Space, BdpDarts);
  FLOWDARTS_EXPECT_PRESETS(Space, BetaDarts);
  FLOWDARTS_EXPECT_PRESETS(Space, BdpBetaDarts);
  FLOWDARTS_EXPECT_PRESETS(Space, OstrDarts);
  FLOWDARTS_EXPECT_PRESETS(Space, OstrDartsStar);
  FLOWDARTS_EXPECT_PRESETS(Space, NaivePruningDarts);
  FLOWDARTS_EXPECT_PRESETS(Space, VpDartsFixed);
  FLOWDARTS_EXPECT_PRESETS(Space, VpDartsLinear);
  FLOWDARTS_EXPECT_PRESETS(Space, VpDartsHard);
  FLOWDARTS_EXPECT_PRESETS(Space, VpDartsGradual);
  FLOWDARTS_EXPECT_PRESETS(Space, VpDartsAlphaValue);
  FLOWDARTS_EXPECT_PRESETS(Space, IsDarts);
  FLOWDARTS_EXPECT_PRESETS(Space, IDarts);
  FLOWDARTS_EXPECT_PRESETS(Space, SDarts);
}

template <class Space>
void expect_presets_of_cells() {
  FLOWDARTS_EXPECT_PRESETS(Space, PcDarts);
  FLOWDARTS_EXPECT_PRESETS(Space, BdpPcDarts);
  FLOWDARTS_EXPECT_PRESETS(Space, OstrPcDarts);
  FLOWDARTS_EXPECT_PRESETS(Space, PDarts);
  FLOWDARTS_EXPECT_PRESETS(Space, BdpPDarts);
}

TEST(Presets, FitNasBench201) {
  expect_presets_of_any_space<NasBench201>();
  expect_presets_of_cells<NasBench201>();
}

TEST(Presets, FitTheMobilenetLikeSpace) {
  expect_presets_of_any_space<Mobilenet>();
}

TEST(Presets, FitTheDartsSpace) {
  expect_presets_of_any_space<flowdarts::Darts>();
  expect_presets_of_cells<flowdarts::Darts>();
}

TEST(Presets, OfPapersOnTheDartsSpaceAreTheirSettingsThere) {
  const auto is = options_of<recipes::IsDarts<flowdarts::Darts>>("paper");
  EXPECT_EQ(is.run.epochs, 50);
  EXPECT_EQ(is.policies[boost::hana::type_c<roles::Shrinking>].steps, 7);
  EXPECT_EQ(is.policies[boost::hana::type_c<roles::Shrinking>].interval, 3);
  EXPECT_EQ(is.policies[boost::hana::type_c<roles::Importance>].images, 600);
  EXPECT_FALSE(is.space.pool_norm);
  EXPECT_TRUE(is.space.conv_bias);
  const auto p = options_of<recipes::PDarts<flowdarts::Darts>>("paper");
  EXPECT_EQ(p.run.epochs, 75);
  EXPECT_EQ(p.run.batch_size, 96);
  EXPECT_EQ(p.space.cells, 5);
  EXPECT_EQ(p.policies[boost::hana::type_c<roles::Shrinking>].keep_first, 5);
  EXPECT_EQ(p.policies[boost::hana::type_c<roles::Importance>].skips, 2);
  const auto pc = options_of<recipes::OstrPcDarts<flowdarts::Darts>>("paper");
  EXPECT_EQ(pc.run.batch_size, 256);
  EXPECT_EQ(pc.weights.lr, 0.1);
  EXPECT_EQ(pc.policies[boost::hana::type_c<roles::Relaxation>].partial, 4);
  const auto bdp = options_of<recipes::BdpDarts<flowdarts::Darts>>("paper");
  EXPECT_EQ(bdp.run.epochs, 50);
  EXPECT_EQ(bdp.policies[boost::hana::type_c<roles::DataPruning>].ratio_val, 0.3);
}

// methods.md and the code of PC-DARTS: 10 % and 2.5 % of each class, no colour jitter in the search.
TEST(Presets, OfImageNetAreThoseOfPcDarts) {
  const auto pc = options_of<recipes::PcDarts<flowdarts::Darts>>("imagenet");
  EXPECT_EQ(pc.data.dataset, DatasetKind::folder);
  EXPECT_EQ(pc.data.image_size, 224);
  EXPECT_EQ(pc.data.train_portion, 0.1);
  EXPECT_EQ(pc.data.val_portion, 0.025);
  EXPECT_EQ(pc.data.jitter_brightness, 0);
  EXPECT_EQ(pc.data.jitter_hue, 0);
  EXPECT_EQ(pc.run.epochs, 50);
  EXPECT_EQ(pc.run.batch_size, 1024);
  EXPECT_EQ(pc.space.stem, darts::Stem::imagenet);
  EXPECT_EQ(pc.space.channels, 16);
  EXPECT_EQ(pc.space.cells, 8);
  EXPECT_EQ(pc.weights.lr, 0.5);
  EXPECT_EQ(pc.weights.lr_min, 0);
  EXPECT_EQ(pc.weights.warm_up, 5);
  EXPECT_EQ(pc.weights.momentum, 0.9);
  EXPECT_FALSE(pc.weights.nesterov);
  EXPECT_EQ(pc.weights.weight_decay, 3e-4);
  EXPECT_EQ(pc.weights.clip, 5);
  EXPECT_EQ(pc.alpha.lr, 6e-3);
  EXPECT_EQ(pc.alpha.beta1, 0.5);
  EXPECT_EQ(pc.alpha.beta2, 0.999);
  EXPECT_EQ(pc.alpha.weight_decay, 1e-3);
  EXPECT_EQ(pc.alpha.clip, 5);
  EXPECT_EQ(pc.policies[boost::hana::type_c<roles::Relaxation>].partial, 2);
  EXPECT_EQ(pc.policies[boost::hana::type_c<roles::Relaxation>].warm_up, 35);
}

// Such a preset keeps what `paper` says and the data leave open.
TEST(Presets, OfImageNetAreThePapersWithOtherData) {
  const auto bdp = options_of<recipes::BdpDarts<flowdarts::Darts>>("imagenet");
  EXPECT_EQ(bdp.run.batch_size, 1024);
  EXPECT_EQ(bdp.policies[boost::hana::type_c<roles::DataPruning>].ratio_val, 0.3);
  const auto p = options_of<recipes::PDarts<flowdarts::Darts>>("imagenet");
  EXPECT_EQ(p.run.epochs, 75);
  EXPECT_EQ(p.space.cells, 5);
  const auto chain = options_of<recipes::BdpDarts<Mobilenet>>("imagenet");
  EXPECT_EQ(chain.data.dataset, DatasetKind::folder);
  EXPECT_EQ(chain.data.image_size, 224);
  EXPECT_EQ(chain.data.train_portion, 0.1);  // 12.5 % in the ratio 4 to 1
  EXPECT_EQ(chain.data.val_portion, 0.025);
  EXPECT_EQ(chain.run.epochs, 30);
  EXPECT_EQ(chain.run.batch_size, 640);
  EXPECT_EQ(chain.weights.lr, 0.5);
  EXPECT_EQ(chain.weights.lr_min, 0);
  EXPECT_EQ(chain.alpha.lr, 6e-3);
  EXPECT_EQ(chain.policies[boost::hana::type_c<roles::DataPruning>].window, 3);
  const auto bench = options_of<recipes::BdpDarts<NasBench201>>("imagenet16-120");
  EXPECT_EQ(bench.data.dataset, DatasetKind::imagenet16_120);
  EXPECT_EQ(bench.data.image_size, 0);  // the data set's own 16
  EXPECT_EQ(bench.data.padding, 2);
  EXPECT_EQ(bench.data.train_portion, 0.5);
  EXPECT_EQ(bench.run.epochs, 100);
  EXPECT_EQ(bench.run.batch_size, 64);
  EXPECT_EQ(bench.weights.lr, 0.025);
  EXPECT_EQ(bench.weights.lr_min, 0.001);
  EXPECT_EQ(bench.weights.weight_decay, 3e-4);
  EXPECT_EQ(bench.alpha.lr, 3e-4);
  EXPECT_EQ(bench.policies[boost::hana::type_c<roles::DataPruning>].window, 5);
}

// What policies say of the MobileNet-like space leaves its own settings alone.
TEST(Presets, OfPoliciesAddToTheSpaces) {
  const auto options = options_of<recipes::IsDarts<Mobilenet>>("paper");
  EXPECT_EQ(options.run.epochs, 30);
  EXPECT_EQ(options.run.batch_size, 640);
  EXPECT_EQ(options.policies[boost::hana::type_c<roles::Shrinking>].steps, 6);
  EXPECT_EQ(options.policies[boost::hana::type_c<roles::Importance>].images, 600);
  const auto vp = options_of<recipes::VpDartsLinear<Mobilenet>>("paper");
  EXPECT_EQ(vp.run.epochs, 30);
  EXPECT_EQ(vp.weights.weight_decay, 3e-4);
  EXPECT_EQ(vp.policies[boost::hana::type_c<roles::Shrinking>].warm_up, 12);
}

}  // namespace
}  // namespace flowdarts
