// ONNX files, read and run by others' software.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <flowdarts/spaces/export/stand_alone.hpp>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "networks.hpp"
#include "python.hpp"

namespace flowdarts {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

/// A case of the same images and the C++ network's logits.
void add_case(Weights& expected, const std::string& name, const StandAloneNetwork& network, std::int64_t batch,
              std::int64_t side) {
  const torch::NoGradGuard no_grad;
  const torch::Tensor images = testing::some_images(batch, side);
  expected[name + ".images"] = weight_of(images);
  expected[name + ".logits"] = weight_of(network.forward(images).logits);
}

class Onnx : public ::testing::Test {
 protected:
  /// What check_onnx.py says of the network's file; null where Python's packages are missing.
  json check(const StandAlone& description, const OnnxOptions& options = {}) {
    const StandAloneNetwork network(description);
    testing::fill(network.module());
    Weights expected;
    const std::int64_t side = description.spec.image_size;
    add_case(expected, "one", network, 1, side);
    add_case(expected, "three", network, 3, side);
    add_case(expected, "larger", network, 2, 2 * side);
    const std::string model = folder_.write("model.onnx", to_onnx(description, weights_of(network.module()), options));
    const auto result =
        testing::run_python("check_onnx.py", {model, folder_.write("expected.safetensors", to_safetensors(expected))});
    if (result.skipped()) {
      skipped_ = result.output;
      return nullptr;
    }
    EXPECT_EQ(result.code, 0) << result.output;
    json facts = result.code == 0 ? json::parse(result.output) : json();
    for (const auto& [name, one] : facts["cases"].items()) {
      EXPECT_LE(one.at("difference").get<double>(), 1e-4) << name;
      EXPECT_GT(one.at("spread").get<double>(), 0.1) << name << ": logits that say nothing";
    }
    return facts;
  }

  testing::Folder folder_;
  std::string skipped_;
};

class OnnxOfSpace : public Onnx, public ::testing::WithParamInterface<std::string> {
 protected:
  static StandAlone network() {
    if (GetParam() == "NasBench201") return testing::small_network(testing::nas_bench_201_cell);
    if (GetParam() == "Darts") return testing::small_network(testing::darts_cells);
    if (GetParam() == "DartsImagenet") return testing::small_network(testing::darts_cells, darts::Stem::imagenet);
    return testing::small_network(testing::layers);
  }
};

TEST_P(OnnxOfSpace, GivesTheSameLogits) {
  const json facts = check(network(), {.metadata = {{"space", "any"}}});
  if (facts.is_null()) GTEST_SKIP() << skipped_;
  EXPECT_EQ(facts.at("opset"), 13);
  EXPECT_EQ(facts.at("metadata"), (json{{"space", "any"}}));
  EXPECT_EQ(facts.at("inputs"), (json{{"images", {"batch", 3, "height", "width"}}}));
  EXPECT_EQ(facts.at("outputs"), (json{{"logits", {"batch", 7}}}));
  EXPECT_GT(facts.at("nodes").at("BatchNormalization"), 0);
}

TEST_P(OnnxOfSpace, GivesTheSameLogitsWithFoldedBatchNorms) {
  const json facts = check(network(), {.fold_bn = true});
  if (facts.is_null()) GTEST_SKIP() << skipped_;
  // That before the classifier of NAS-Bench-201 follows a sum.
  const bool keeps_one = space_of(network().architecture) == nas_bench_201::space_name;
  EXPECT_EQ(facts.at("nodes").value("BatchNormalization", 0), keeps_one ? 1 : 0);
}

TEST_P(OnnxOfSpace, HasAFeatureMapOfEveryResolution) {
  const json facts = check(network(), {.fold_bn = true, .features = true});
  if (facts.is_null()) GTEST_SKIP() << skipped_;
  std::vector<std::pair<int, int>> strides_and_channels;
  if (GetParam() == "NasBench201") strides_and_channels = {{1, 4}, {2, 8}, {4, 16}};
  if (GetParam() == "Darts") strides_and_channels = {{1, 16}, {2, 32}, {4, 64}};
  if (GetParam() == "DartsImagenet") strides_and_channels = {{4, 4}, {8, 16}, {16, 32}, {32, 64}};
  if (GetParam() == "Mobilenet") strides_and_channels = {{2, 3}, {4, 4}, {8, 4}, {16, 6}, {32, 8}};
  json outputs{{"logits", {"batch", 7}}};
  for (const auto& [stride, channels] : strides_and_channels) {
    const std::string output = "stride_" + std::to_string(stride);
    outputs[output] = {"batch", channels, output + "_height", output + "_width"};
    const int side = 2 * network().spec.image_size / stride;
    EXPECT_EQ(facts.at("cases").at("larger").at("shapes").at(output), (json{2, channels, side, side}));
  }
  EXPECT_EQ(facts.at("outputs"), outputs);
  if (space_of(network().architecture) == darts::space_name) {
    EXPECT_LE(facts.at("cases").at("three").at("from_features").get<double>(), 1e-4);
  }
}

INSTANTIATE_TEST_SUITE_P(, OnnxOfSpace, ::testing::Values("NasBench201", "Darts", "DartsImagenet", "Mobilenet"),
                         [](const auto& of) { return of.param; });

// A convolution of what `none` gives is a shift, and a cell that nothing goes through gives zeros.
TEST_F(Onnx, NoneIsZero) {
  for (const char* cell : {"|none~0|+|none~0|nor_conv_3x3~1|+|skip_connect~0|avg_pool_3x3~1|nor_conv_1x1~2|",
                           "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"}) {
    const json facts = check(testing::small_network(cell), {.fold_bn = true});
    if (facts.is_null()) GTEST_SKIP() << skipped_;
    EXPECT_GT(facts.at("nodes").at("Sub"), 0);
  }
}

TEST_F(Onnx, ConcatenatesTheNodesOfTheGenotype) {
  const std::string cell = "[('skip_connect', 0), ('skip_connect', 1), ('sep_conv_3x3', 2), ('skip_connect', 0)]";
  const json facts = check(testing::small_network("Genotype(normal=" + cell + ", normal_concat=[3], reduce=" + cell +
                                                  ", reduce_concat=range(2, 4))"),
                           {.features = true});
  if (facts.is_null()) GTEST_SKIP() << skipped_;
  const json& shapes = facts.at("cases").at("one").at("shapes");
  EXPECT_EQ(shapes.at("stride_1"), (json{1, 4, 32, 32}));
  EXPECT_EQ(shapes.at("stride_2"), (json{1, 16, 16, 16}));
}

TEST(OnnxWeights, MustBeThoseOfTheNetwork) {
  const StandAlone description = testing::small_network(testing::nas_bench_201_cell);
  const StandAloneNetwork network(description);
  Weights weights = weights_of(network.module());
  weights["more"] = {{1}, {0.0F}};
  try {
    to_onnx(description, weights, {});
    FAIL();
  } catch (const std::logic_error& error) {
    EXPECT_STREQ(error.what(), "ONNX: no layer reads the tensor more");
  }
  weights.erase("more");
  weights.erase("backbone.last_norm.running_var");
  EXPECT_THROW(to_onnx(description, weights, {}), std::logic_error);
}

}  // namespace
}  // namespace flowdarts
