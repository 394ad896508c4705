// Supernets of every space and form out of checkpoints as searches write them.

#include "../../apps/export/searched_supernet.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <flowdarts/pipeline/search_state.hpp>
#include <flowdarts/pipeline/tensor_state.hpp>
#include <flowdarts/spaces/darts/published_names.hpp>
#include <flowdarts/spaces/darts/supernet.hpp>
#include <flowdarts/spaces/mobilenet/supernet.hpp>
#include <flowdarts/spaces/nas_bench_201/published_names.hpp>
#include <flowdarts/spaces/nas_bench_201/supernet.hpp>
#include <flowdarts/spaces/support/error.hpp>

#include "../spaces/export/networks.hpp"

namespace flowdarts::app {
namespace {

using ::testing::HasSubstr;

struct Written {
  Identity identity;
  std::int64_t epoch = 2, step = 0;
  bool alpha = true;
  std::vector<std::vector<std::uint8_t>> masks;
};

std::vector<torch::Tensor> alphas_of(const Supernet& supernet) {
  std::vector<torch::Tensor> alphas;
  for (const ArchShape& shape : supernet.arch_shapes()) {
    alphas.push_back(testing::values_like(torch::empty({shape.rows, shape.columns}), 1, 0,
                                          static_cast<std::uint32_t>(100 * alphas.size())));
  }
  return alphas;
}

/// A checkpoint of a search on this supernet, whose tensors get values of their own.
Checkpoint write(Supernet& supernet, const Written& written) {
  testing::fill(supernet);
  CheckpointWriter writer(written.identity);
  put_state(writer, {.epoch = written.epoch, .step = written.step, .lists = std::make_shared<const SampleLists>()});
  Snapshot snapshot{{"weights", tensor_bytes(supernet.parameters())},
                    {"statistics", tensor_bytes(supernet.buffers())},
                    {"alpha", tensor_bytes(written.alpha ? alphas_of(supernet) : std::vector<torch::Tensor>())}};
  put_snapshot(writer, snapshot);
  if (!written.masks.empty()) {
    ByteWriter masks;
    masks.put(std::uint64_t{written.masks.size()});
    for (const auto& mask : written.masks) masks.put_vector(mask);
    writer.add("masks", masks);
  }
  ByteWriter derived;
  derived.put(false);
  derived.put_string("a genotype");
  writer.add("derived", derived);
  return std::move(writer).finish();
}

void expect_same(const Weights& found, const Weights& expected) {
  ASSERT_EQ(found.size(), expected.size());
  for (const auto& [name, tensor] : expected) {
    ASSERT_TRUE(found.contains(name)) << name;
    EXPECT_EQ(found.at(name).shape, tensor.shape) << name;
    EXPECT_EQ(found.at(name).values, tensor.values) << name;
  }
}

TEST(SearchedSupernet, OfDarts) {
  const darts::SupernetSpec spec{.channels = 2, .cells = 3, .classes = 7, .with_none = false};
  darts::OracleSupernet supernet(spec);
  const Checkpoint checkpoint = write(supernet, {.identity = {{"space", "darts"},
                                                              {"relaxation policy", "Softmax"},
                                                              {"bilevel policy", "FirstOrder"},
                                                              {"--channels", "2"},
                                                              {"--cells", "3"},
                                                              {"--with-none", "false"}}});
  const SearchedSupernet found = read_supernet(checkpoint, "run");
  Weights expected = renamed(weights_of(supernet), darts::published_search_modules(spec));
  const auto alphas = alphas_of(supernet);
  expected["alphas_normal"] = weight_of(alphas[0]);
  expected["alphas_reduce"] = weight_of(alphas[1]);
  expect_same(found.weights, expected);
  EXPECT_EQ(found.weights.at("alphas_normal").shape, (std::vector<std::int64_t>{14, 7}));
  EXPECT_EQ(found.facts, (std::map<std::string, std::string>{{"space", "darts"},
                                                             {"epochs", "2"},
                                                             {"genotype", "a genotype"},
                                                             {"policies", "relaxation Softmax, bilevel FirstOrder"}}));
}

TEST(SearchedSupernet, OfPcDartsHasEdgeWeights) {
  const darts::SupernetSpec spec{.channels = 4, .cells = 3, .partial = 2, .edge_weights = true};
  darts::OracleSupernet supernet(spec);
  const SearchedSupernet found = read_supernet(write(supernet, {.identity = {{"space", "darts"},
                                                                             {"relaxation policy", "PartialChannel"},
                                                                             {"--channels", "4"},
                                                                             {"--cells", "3"},
                                                                             {"--relaxation-partial", "2"}}}),
                                               "run");
  EXPECT_EQ(found.weights.at("betas_reduce").shape, (std::vector<std::int64_t>{14}));
  EXPECT_EQ(found.weights.at("betas_reduce").values, weight_of(alphas_of(supernet)[3]).values);
  EXPECT_EQ(found.weights.at("cells.0._ops.0._ops.4.op.1.weight").shape, (std::vector<std::int64_t>{2, 1, 3, 3}));
}

// Of six epochs a stage has two; a checkpoint at the end of one holds that one's network.
TEST(SearchedSupernet, OfPDartsIsThatOfItsStage) {
  for (const auto& [epoch, step, cells] : {std::tuple{2, 0, 3}, {2, 1, 4}, {4, 0, 4}, {6, 0, 5}}) {
    const darts::SupernetSpec spec{.channels = 2, .cells = cells};
    darts::OracleSupernet supernet(spec);
    std::vector<std::vector<std::uint8_t>> masks(2, std::vector<std::uint8_t>(14 * 8, 1));
    masks[1][3] = 0;
    const SearchedSupernet found = read_supernet(write(supernet, {.identity = {{"space", "darts"},
                                                                               {"shrink policy", "ProgressiveStages"},
                                                                               {"--epochs", "6"},
                                                                               {"--channels", "2"},
                                                                               {"--cells", "3"},
                                                                               {"--shrink-deeper", "1"}},
                                                                  .epoch = epoch,
                                                                  .step = step,
                                                                  .masks = masks}),
                                                 "run");
    EXPECT_TRUE(found.weights.contains("cells." + std::to_string(cells - 1) + ".preprocess1.op.1.weight"));
    EXPECT_THAT(found.facts.at("ops_left"), HasSubstr("],[1,1,1,0,1,"));
  }
}

TEST(SearchedSupernet, OfIsDartsHasNoAlpha) {
  const darts::SupernetSpec spec{.channels = 2, .cells = 3, .pool_norm = false, .conv_bias = true, .last_norm = true};
  darts::OracleSupernet supernet(spec);
  const SearchedSupernet found = read_supernet(
      write(supernet, {.identity = {{"space", "darts"},
                                    {"relaxation policy", "Masked"},
                                    {"--channels", "2"},
                                    {"--cells", "3"},
                                    {"--pool-norm", "false"},
                                    {"--conv-bias", "true"},
                                    {"--last-norm", "true"}},
                       .alpha = false,
                       .masks = std::vector<std::vector<std::uint8_t>>(2, std::vector<std::uint8_t>(14 * 8, 1))}),
      "run");
  EXPECT_FALSE(found.weights.contains("alphas_normal"));
  EXPECT_TRUE(found.weights.contains("lastact.0.weight"));
  EXPECT_TRUE(found.facts.contains("ops_left"));
}

TEST(SearchedSupernet, OfNasBench201) {
  nas_bench_201::OracleSupernet supernet({.channels = 2, .cells = 1, .classes = 100});
  const SearchedSupernet found = read_supernet(write(supernet, {.identity = {{"space", "nas-bench-201"},
                                                                             {"relaxation policy", "Softmax"},
                                                                             {"--channels", "2"},
                                                                             {"--cells", "1"}}}),
                                               "run");
  Weights expected = renamed(weights_of(supernet), nas_bench_201::published_search_modules(1));
  expected["arch_parameters"] = weight_of(alphas_of(supernet)[0]);
  expect_same(found.weights, expected);
}

TEST(SearchedSupernet, OfMobilenet) {
  const StandAloneSpec sizes = testing::small_network(testing::layers).spec;
  mobilenet::OracleSupernet supernet({.widths = sizes.widths, .classes = 3, .stem_stride = 1});
  const SearchedSupernet found = read_supernet(write(supernet, {.identity = {{"space", "mobilenet"},
                                                                             {"relaxation policy", "Softmax"},
                                                                             {"--widths", "4,3,4,4,5,6,6,8,9"},
                                                                             {"--stem-stride", "1"}}}),
                                               "run");
  EXPECT_EQ(found.weights.size(), weights_of(supernet).size() + 2 * 21);
  EXPECT_EQ(found.weights.at("blocks.2.mobile_inverted_conv.AP_path_alpha").values,
            weight_of(alphas_of(supernet)[1]).values);
  EXPECT_EQ(found.weights.at("blocks.1.mobile_inverted_conv.AP_path_wb").shape, (std::vector<std::int64_t>{6}));
}

TEST(SearchedSupernet, RefusesWhatItCannotBuild) {
  darts::OracleSupernet supernet({.channels = 4, .cells = 3, .partial = 2});
  const auto refusal = [&](const Identity& identity) {
    try {
      read_supernet(write(supernet, {.identity = identity}), "run");
    } catch (const InputError& error) {
      return std::string(error.what());
    }
    return std::string("nothing was refused");
  };
  EXPECT_THAT(refusal({{"space", "darts"}, {"relaxation policy", "Mine"}, {"--channels", "4"}, {"--cells", "3"}}),
              HasSubstr("run: section weights"));
  EXPECT_EQ(refusal({{"space", "nasnet"}, {"relaxation policy", "Softmax"}}),
            "run: found a search on the space \"nasnet\", expected one on nas-bench-201, darts or mobilenet");
  EXPECT_THAT(refusal({{"space", "darts"}, {"--cells", "none"}}), HasSubstr("run: --cells"));
}

}  // namespace
}  // namespace flowdarts::app
