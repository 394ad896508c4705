// The networks against the numbers of the reference implementations: parameter counts and logits.

#include <gtest/gtest.h>

#include <flowdarts/spaces/darts/count.hpp>
#include <flowdarts/spaces/darts/network.hpp>
#include <flowdarts/spaces/darts/supernet.hpp>
#include <flowdarts/spaces/initialise.hpp>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>

#include "../nas_bench_201/golden_fill.hpp"

namespace flowdarts::darts {
namespace {

using testing::golden;
using testing::golden_fill;

/// softmax of alpha = 0.5 u(1000 m + i) of every matrix. The golden P-DARTS network has a column an op kept; ours has
/// all of them.
std::vector<torch::Tensor> op_weights_of(const DartsSupernet& supernet, const std::vector<std::int64_t>& kept) {
  std::vector<torch::Tensor> weights;
  for (const ArchShape& shape : supernet.arch_shapes()) {
    const auto offset = static_cast<std::uint32_t>(1000 * weights.size());
    if (kept.empty()) {
      weights.push_back(competing_softmax(golden({shape.rows, shape.columns}, 0.5, 0.0, offset), shape));
      continue;
    }
    const auto columns = static_cast<std::int64_t>(kept.size());
    weights.push_back(
        torch::zeros({shape.rows, shape.columns}, torch::kDouble)
            .index_copy(1, torch::tensor(kept), golden({shape.rows, columns}, 0.5, 0.0, offset).softmax(1)));
  }
  return weights;
}

void expect_golden(const torch::Tensor& logits, const nlohmann::json& expected) {
  // Of some networks only three logits are published, to nine decimals.
  const auto sample0 = expected.at("sample0").get<std::vector<double>>();
  const bool complete = sample0.size() == 10;
  ASSERT_EQ(logits.size(1), 10);
  for (std::size_t c = 0; c < sample0.size(); ++c) {
    const double tolerance = complete ? 1e-9 * std::max(1.0, std::abs(sample0[c])) : 6e-10;
    EXPECT_NEAR(logits[0][static_cast<std::int64_t>(c)].item<double>(), sample0[c], tolerance) << "logit " << c;
  }
  if (!complete) return;
  const double sum = expected.at("sum"), abs_sum = expected.at("abs_sum");
  EXPECT_NEAR(logits.sum().item<double>(), sum, 1e-9 * abs_sum);
  EXPECT_NEAR(logits.abs().sum().item<double>(), abs_sum, 1e-9 * abs_sum);
}

/// name, genotype or null, channels, cells, classes as in golden_forward.json.
NetworkSpec network_spec(const nlohmann::json& entry) {
  const bool imagenet = entry.at("name").get<std::string>().find("imagenet") != std::string::npos;
  return {.channels = entry.at("channels"),
          .cells = entry.at("cells"),
          .classes = entry.at("classes"),
          .stem = imagenet ? Stem::imagenet : Stem::cifar};
}

template <class Net>
void expect_golden_search(const nlohmann::json& entry) {
  const std::string name = entry.at("name");
  SupernetSpec spec{.channels = entry.at("channels"), .cells = entry.at("cells"), .classes = entry.at("classes")};
  if (name.find("imagenet") != std::string::npos) spec.stem = Stem::imagenet;
  if (name.starts_with("pc_darts")) {
    spec.partial = name.find("k2") != std::string::npos ? 2 : 4;
    spec.edge_weights = true;
  }
  std::vector<std::int64_t> kept;
  if (entry.contains("kept_ops")) {
    spec.normal = spec.reduce = OpMask(edge_count(default_nodes));
    for (const std::string op : entry.at("kept_ops")) {
      kept.push_back(std::ranges::find(op_names, op) - op_names.begin());
      for (OpMask* mask : {&spec.normal, &spec.reduce}) {
        for (auto& row : *mask) row[static_cast<std::size_t>(kept.back())] = true;
      }
    }
  }
  Net supernet(spec);
  EXPECT_EQ(parameter_count(supernet), entry.at("params").get<std::int64_t>());
  EXPECT_EQ(count_supernet(spec).params, entry.at("params").get<std::int64_t>());
  golden_fill(supernet);
  const torch::NoGradGuard no_grad;
  const torch::Tensor images = golden(entry.at("input").get<std::vector<std::int64_t>>());
  // Evaluation mode comes first: it needs fresh running statistics.
  for (const bool train : {false, true}) {
    SCOPED_TRACE(train ? "train" : "eval");
    supernet.train(train);
    expect_golden(supernet.forward(images, op_weights_of(supernet, kept)),
                  entry.at(train ? "train_mode" : "eval_mode"));
  }
}

TEST(GoldenForward, EveryLogitMatchesTheReference) {
  std::ifstream file(FLOWDARTS_SOURCE_DIR "/tests/spaces/darts/golden_forward.json");
  const auto entries = nlohmann::json::parse(file);
  ASSERT_EQ(entries.size(), 8U);
  for (const auto& entry : entries) {
    SCOPED_TRACE(entry.at("name").get<std::string>());
    if (!entry.contains("genotype")) {
      expect_golden_search<OracleSupernet>(entry);
      expect_golden_search<FusedSupernet>(entry);
      continue;
    }
    Network network(parse_genotype(entry.at("genotype").get<std::string>()), network_spec(entry));
    EXPECT_EQ(parameter_count(network), entry.at("params").get<std::int64_t>());
    golden_fill(network);
    const torch::Tensor images = golden(entry.at("input").get<std::vector<std::int64_t>>());
    const torch::NoGradGuard no_grad;
    network.eval();
    NetworkOutput output = network.forward(images);
    expect_golden(output.logits, entry.at("eval_mode"));
    EXPECT_FALSE(output.auxiliary.defined());
    network.train();
    output = network.forward(images);
    expect_golden(output.logits, entry.at("train_mode"));
    ASSERT_TRUE(output.auxiliary.defined());
    if (entry.contains("aux_train_mode")) expect_golden(output.auxiliary, entry.at("aux_train_mode"));
  }
}

// The built networks have the counted parameters; what is counted is checked against the published numbers elsewhere.
TEST(GoldenParameters, AreThoseCounted) {
  const SupernetSpec is_darts{.channels = 8, .pool_norm = false, .conv_bias = true, .last_norm = true};
  SupernetSpec imagenet = is_darts;
  imagenet.stem = Stem::imagenet;
  SupernetSpec masked{.channels = 4, .cells = 3, .nodes = 2, .normal = all_ops(2), .reduce = all_ops(2)};
  masked.normal[1] = {true, false, true, false, false, true, false, false};
  masked.reduce[4] = {};
  masked.reduce[0][static_cast<std::size_t>(Op::skip_connect)] = false;
  for (const SupernetSpec& spec : {is_darts, imagenet, masked}) {
    EXPECT_EQ(parameter_count(OracleSupernet(spec)), count_supernet(spec).params);
  }
  const Genotype hand_made = parse_genotype(
      "Genotype(normal=[('sep_conv_7x7', 1), ('conv_7x1_1x7', 0), ('avg_pool_3x3', 2), ('skip_connect', 0)], "
      "normal_concat=[3], reduce=[('conv_7x1_1x7', 1), ('sep_conv_7x7', 0)], reduce_concat=[2])");
  for (NetworkSpec spec : {cifar_network, imagenet_network}) {
    spec.channels = 8;
    spec.auxiliary_norm = true;
    const NetworkCounts counts = count_network(hand_made, spec, 64);
    EXPECT_EQ(parameter_count(Network(hand_made, spec)), counts.params + counts.auxiliary_params);
  }
}

}  // namespace
}  // namespace flowdarts::darts
