// Weights in the networks that the papers' code has.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <flowdarts/spaces/darts/published_names.hpp>
#include <flowdarts/spaces/darts/supernet.hpp>
#include <flowdarts/spaces/export/stand_alone.hpp>
#include <flowdarts/spaces/mobilenet/published_names.hpp>
#include <flowdarts/spaces/mobilenet/supernet.hpp>
#include <flowdarts/spaces/nas_bench_201/published_names.hpp>
#include <flowdarts/spaces/nas_bench_201/supernet.hpp>
#include <nlohmann/json.hpp>

#include "networks.hpp"
#include "python.hpp"

namespace flowdarts {
namespace {

using nlohmann::json;

class PublishedNames : public ::testing::Test {
 protected:
  /// The network `type` of published_networks.py takes the weights and, where torch can be imported, gives these logits
  /// and the feature maps of the ONNX file `model`, where there is one.
  void expect_loads(const std::string& type, const json& arguments, const Weights& weights, const torch::Tensor& images,
                    const torch::Tensor& logits, const std::string& model = {}) {
    const std::string file =
        folder_.write("weights.safetensors", to_safetensors(weights, batch_counters(weights), {{"space", "any"}}));
    const std::string expected = folder_.write(
        "expected.safetensors", to_safetensors({{"images", weight_of(images)}, {"logits", weight_of(logits)}}));
    std::vector<std::string> all{type, arguments.dump(), file, expected};
    if (!model.empty()) all.push_back(model);
    const auto result = testing::run_python("load_published.py", all);
    if (result.skipped()) GTEST_SKIP() << result.output;
    ASSERT_EQ(result.code, 0) << result.output;
    const json facts = json::parse(result.output);
    EXPECT_EQ(facts.at("missing"), json::array());
    EXPECT_EQ(facts.at("unexpected"), json::array());
    EXPECT_EQ(facts.at("other_shapes"), json::array());
    EXPECT_EQ(facts.at("metadata"), (json{{"space", "any"}}));
    EXPECT_GT(facts.at("tensors"), 50);
    if (facts.at("torch").get<bool>()) {
      EXPECT_LE(facts.at("difference").get<double>(), 1e-4);
      EXPECT_EQ(facts.at("features").size() >= 3, !model.empty());
      for (const auto& [name, difference] : facts.at("features").items()) {
        EXPECT_LE(difference.get<double>(), 1e-4) << name;
      }
    } else {
      std::cout << "torch cannot be imported from Python here: names and shapes alone were compared\n";
    }
  }

  void expect_loads(const std::string& type, const json& arguments, const StandAlone& description) {
    const torch::NoGradGuard no_grad;
    const StandAloneNetwork network(description);
    testing::fill(network.module());
    const torch::Tensor images = testing::some_images(2, description.spec.image_size);
    const Weights weights = weights_of(network.module());
    expect_loads(type, arguments, renamed(weights, published_modules(description)), images,
                 network.forward(images).logits,
                 folder_.write("model.onnx", to_onnx(description, weights, {.features = true})));
  }

  /// names: of the supernet's modules; alphas: the published names of its alphas, and the shapes they have there.
  void expect_loads(const std::string& type, const json& arguments, Supernet& supernet, const ModuleNames& names,
                    const std::vector<std::string>& alphas) {
    const torch::NoGradGuard no_grad;
    testing::fill(supernet);
    Weights weights = renamed(weights_of(supernet), names);
    std::vector<torch::Tensor> op_weights;
    const std::vector<ArchShape> shapes = supernet.arch_shapes();
    ASSERT_EQ(alphas.size(), shapes.size());
    for (std::size_t m = 0; m < shapes.size(); ++m) {
      const torch::Tensor alpha = testing::values_like(torch::empty({shapes[m].rows, shapes[m].columns}), 1, 0,
                                                       static_cast<std::uint32_t>(100 * m));
      op_weights.push_back(torch::softmax(alpha, 1));
      weights[alphas[m]] = weight_of(type == "ProxylessNet" ? alpha[0] : alpha);
      if (type == "ProxylessNet") {
        weights[mobilenet::published_choice(static_cast<int>(m)) + ".AP_path_wb"] =
            weight_of(torch::zeros_like(alpha[0]));
      }
    }
    const torch::Tensor images = testing::some_images(2, 32);
    expect_loads(type, arguments, weights, images, supernet.forward(images, op_weights));
  }

  static json cell_of(const darts::Cell& cell) {
    json inputs = json::array();
    for (const auto& [op, state] : cell.inputs) inputs.push_back({darts::name_of(op), state});
    return inputs;
  }

  testing::Folder folder_;
};

TEST_F(PublishedNames, OfNasBench201) {
  expect_loads("TinyNetwork",
               {{"ops", {"nor_conv_3x3", "avg_pool_3x3", "nor_conv_1x1", "skip_connect", "none", "nor_conv_3x3"}},
                {"channels", 4},
                {"cells", 2},
                {"classes", 7}},
               testing::small_network(testing::nas_bench_201_cell));
}

TEST_F(PublishedNames, OfDarts) {
  const darts::Genotype genotype = darts::parse_genotype(testing::darts_cells);
  json arguments{{"genotype", {{"normal", cell_of(genotype.normal)}, {"reduce", cell_of(genotype.reduce)}}},
                 {"channels", 4},
                 {"cells", 4},
                 {"classes", 7},
                 {"auxiliary", true}};
  expect_loads("DartsNetwork", arguments, testing::small_network(testing::darts_cells));
  arguments["imagenet"] = true;
  expect_loads("DartsNetwork", arguments, testing::small_network(testing::darts_cells, darts::Stem::imagenet));
}

TEST_F(PublishedNames, OfMobilenet) {
  const StandAlone network = testing::small_network(testing::layers);
  json ops = json::array();
  for (const mobilenet::Op op : std::get<mobilenet::Genotype>(network.architecture).ops) {
    ops.push_back(static_cast<int>(op));
  }
  expect_loads("ProxylessNet", {{"ops", ops}, {"widths", {4, 3, 4, 4, 5, 6, 6, 8, 9}}, {"classes", 7}}, network);
}

TEST_F(PublishedNames, OfTheNasBench201Supernet) {
  nas_bench_201::OracleSupernet supernet({.channels = 4, .cells = 1, .classes = 7});
  expect_loads("TinyNetwork", {{"ops", nullptr}, {"channels", 4}, {"cells", 1}, {"classes", 7}}, supernet,
               nas_bench_201::published_search_modules(1), {"arch_parameters"});
}

TEST_F(PublishedNames, OfTheDartsSupernet) {
  for (const darts::Stem stem : {darts::Stem::cifar, darts::Stem::imagenet}) {
    const darts::SupernetSpec spec{.channels = 2, .cells = 4, .classes = 7, .stem = stem};
    darts::OracleSupernet supernet(spec);
    expect_loads("DartsNetwork",
                 {{"genotype", nullptr},
                  {"channels", 2},
                  {"cells", 4},
                  {"classes", 7},
                  {"imagenet", stem == darts::Stem::imagenet}},
                 supernet, darts::published_search_modules(spec), {"alphas_normal", "alphas_reduce"});
  }
}

TEST_F(PublishedNames, OfTheMobilenetSupernet) {
  mobilenet::OracleSupernet supernet({.widths = testing::small_network(testing::layers).spec.widths, .classes = 7});
  std::vector<std::string> alphas;
  for (int layer = 0; layer < mobilenet::layer_count; ++layer) {
    alphas.push_back(mobilenet::published_choice(layer) + ".AP_path_alpha");
  }
  expect_loads("ProxylessNet", {{"ops", nullptr}, {"widths", {4, 3, 4, 4, 5, 6, 6, 8, 9}}, {"classes", 7}}, supernet,
               mobilenet::published_search_modules(), alphas);
}

// The forms that methods give the DARTS supernet.
TEST_F(PublishedNames, OfEveryFormOfTheDartsSupernet) {
  for (const darts::SupernetSpec& spec :
       {darts::SupernetSpec{.channels = 4, .cells = 3, .with_none = false},
        darts::SupernetSpec{.channels = 4, .cells = 3, .partial = 2, .edge_weights = true},
        darts::SupernetSpec{.channels = 4, .cells = 3, .pool_norm = false, .conv_bias = true, .last_norm = true},
        darts::SupernetSpec{.channels = 4, .cells = 3, .nodes = 2, .track_running_stats = false}}) {
    const Weights own = weights_of(darts::OracleSupernet(spec));
    EXPECT_EQ(renamed(own, darts::published_search_modules(spec)).size(), own.size());
  }
}

TEST(Renamed, RefusesAModuleThatHasNoName) {
  EXPECT_THROW(renamed({{"a.weight", {{1}, {0.0F}}}}, {{"b", "c"}}), std::logic_error);
  EXPECT_THROW(renamed({{"a.weight", {{1}, {0.0F}}}, {"b.weight", {{1}, {0.0F}}}}, {{"a", "c"}, {"b", "c"}}),
               std::logic_error);
}

}  // namespace
}  // namespace flowdarts
