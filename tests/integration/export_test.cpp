// What `flowdarts export` writes of whole searches.

#include <cstring>
#include <flowdarts/spaces/mobilenet/published_names.hpp>
#include <span>

#include "../spaces/export/python.hpp"
#include "search_process.hpp"

namespace flowdarts::integration {
namespace {

const std::string flowdarts_program = "flowdarts";

/// A safetensors file.
struct Tensors {
  explicit Tensors(const fs::path& file) : bytes(read(file)) {
    std::uint64_t size = 0;
    std::memcpy(&size, bytes.data(), sizeof(size));
    header = Json::parse(bytes.substr(sizeof(size), size));
    data = sizeof(size) + size;
  }

  [[nodiscard]] std::vector<float> values(const std::string& name) const {
    const auto [begin, end] = header.at(name).at("data_offsets").get<std::pair<std::size_t, std::size_t>>();
    std::vector<float> values((end - begin) / sizeof(float));
    std::memcpy(values.data(), bytes.data() + data + begin, end - begin);
    return values;
  }

  std::string bytes;
  Json header;
  std::size_t data;
};

class Export : public Searches {
 protected:
  Outcome flowdarts(const Arguments& arguments) const { return run(flowdarts_program, arguments); }
  [[nodiscard]] std::string file(const std::string& name) const { return (folder_ / name).string(); }

  /// The alpha of the last epoch, as metrics.jsonl has it.
  static std::vector<std::vector<float>> last_alpha(const fs::path& run) {
    return timeless_metrics(run).back().at("alpha").get<std::vector<std::vector<float>>>();
  }

  /// The network `type` of published_networks.py takes the file.
  static void expect_loads(const std::string& type, const Json& arguments, const std::string& file) {
    const auto result = testing::run_python("load_published.py", {type, arguments.dump(), file});
    if (result.skipped()) GTEST_SKIP() << result.output;
    ASSERT_EQ(result.code, 0) << result.output;
    const Json facts = Json::parse(result.output);
    for (const char* what : {"missing", "unexpected", "other_shapes"}) EXPECT_EQ(facts.at(what), Json::array()) << what;
  }
};

TEST_F(Export, OfASearchOnNasBench201) {
  finish(darts, tiny("run") + Arguments{"--epochs", "2"});
  const std::string run = file("run"), genotype = expect_valid_genotype(run);
  const auto before = contents(run);
  EXPECT_EQ(flowdarts({"export", run, "--genotype-text"}).out, genotype + "\n");
  const std::string newest = checkpoints(run).back().string();
  EXPECT_EQ(flowdarts({"export", newest, "--genotype-text"}).out, genotype + "\n");

  const std::string tensors_file = file("supernet.safetensors");
  const Outcome outcome = flowdarts({"export", run, "--supernet", "--safetensors", tensors_file, "--genotype-text"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(outcome.out, genotype + "\n");
  EXPECT_EQ(outcome.err, tensors_file + ": " + std::to_string(fs::file_size(tensors_file)) + " bytes\n");
  EXPECT_EQ(contents(run), before);

  const Tensors tensors(tensors_file);
  EXPECT_EQ(tensors.values("arch_parameters"), last_alpha(run).at(0));
  EXPECT_EQ(tensors.header.at("__metadata__"), (Json{{"epochs", "2"},
                                                     {"genotype", genotype},
                                                     {"policies", tensors.header.at("__metadata__").at("policies")},
                                                     {"space", "nas-bench-201"}}));
  EXPECT_THAT(tensors.header.at("__metadata__").at("policies").get<std::string>(), ::testing::HasSubstr("FirstOrder"));
  expect_loads("TinyNetwork", {{"ops", nullptr}, {"channels", 1}, {"cells", 1}, {"classes", 10}}, tensors_file);
}

TEST_F(Export, OfASearchOnTheMobilenetLikeSpace) {
  finish("flowdarts-bdp-darts-mobilenet",
         {"--dataset", "cifar10", "--data", data_.string(), "--out", file("run"), "--widths", "2,2,2,2,2,2,2,2,2",
          "--stem-stride", "1", "--threads", "1", "--batch-size", "10", "--epochs", "1", "--prune-window", "1"});
  const std::string tensors_file = file("supernet.safetensors");
  const Outcome outcome = flowdarts({"export", file("run"), "--supernet", "--safetensors", tensors_file});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const Tensors tensors(tensors_file);
  const auto alpha = last_alpha(file("run"));
  for (std::size_t layer = 0; layer < alpha.size(); ++layer) {
    EXPECT_EQ(tensors.values(mobilenet::published_choice(static_cast<int>(layer)) + ".AP_path_alpha"), alpha[layer]);
  }
  expect_loads("ProxylessNet",
               {{"ops", nullptr}, {"widths", {2, 2, 2, 2, 2, 2, 2, 2, 2}}, {"classes", 10}, {"stem_stride", 1}},
               tensors_file);
}

TEST_F(Export, RefusesWhatASearchDoesNotHave) {
  finish(darts, tiny("run") + Arguments{"--epochs", "1"});
  const std::string run = file("run"), model = file("net.onnx");
  const auto expect_refusal = [&](const Arguments& arguments, const std::string& line) {
    const Outcome outcome = flowdarts(arguments);
    EXPECT_EQ(outcome.code, 2);
    EXPECT_EQ(outcome.out, "");
    EXPECT_EQ(outcome.err, "flowdarts: " + line + "\n");
    EXPECT_FALSE(fs::exists(model));
  };
  const std::string untrained =
      run +
      ": found a search, whose architecture has no weights of its own yet; train it with 'flowdarts train' and export "
      "that run, or the search network with --supernet";
  expect_refusal({"export", run, "--onnx", model}, untrained);
  expect_refusal({"export", run, "--safetensors", model, "--genotype-text"}, untrained);
  const Outcome unwritable = flowdarts({"export", run, "--supernet", "--safetensors", "/no/such/folder/net"});
  EXPECT_EQ(unwritable.code, 1);
  EXPECT_THAT(unwritable.err, ::testing::HasSubstr("/no/such/folder/net"));

  const fs::path damaged = checkpoints(run).back();
  std::string bytes = read(damaged);
  bytes[bytes.size() / 2] = static_cast<char>(~bytes[bytes.size() / 2]);
  write(damaged, bytes);
  const Outcome outcome = flowdarts({"export", damaged.string(), "--supernet", "--safetensors", model});
  EXPECT_EQ(outcome.code, 2);
  EXPECT_THAT(outcome.err, ::testing::HasSubstr("is damaged"));
  EXPECT_EQ(std::ranges::count(outcome.err, '\n'), 1);
}

class ExportOfTraining : public Export {
 protected:
  void SetUp() override {
    Export::SetUp();
    fs::copy_file(data_ / "data_batch_1.bin", test_batch_);
  }

  void train(const std::string& genotype, const Arguments& more) const {
    finish("flowdarts-train", Arguments{"--genotype", genotype, "--dataset", "cifar10", "--data", data_.string(),
                                        "--out", file("run"), "--epochs", "2", "--batch-size", "10", "--threads", "1"} +
                                  more);
  }

  /// The ONNX file gives the test images the loss that the training noted last.
  void expect_noted_loss(const std::string& model, const std::string& space, const std::string& genotype) const {
    const auto result = testing::run_python("cifar10_loss.py", {model, test_batch_.string()});
    if (result.skipped()) GTEST_SKIP() << result.output;
    ASSERT_EQ(result.code, 0) << result.output;
    const Json facts = Json::parse(result.output), noted = timeless_metrics(file("run")).back().at("test");
    EXPECT_NEAR(facts.at("loss").get<double>(), noted.at("loss").get<double>(), 1e-4);
    EXPECT_NEAR(facts.at("accuracy").get<double>(), noted.at("accuracy").get<double>(), 1e-9);
    const Json& metadata = facts.at("metadata");
    const std::map<std::string, std::string> expected{
        {"space", space}, {"genotype", genotype}, {"epochs", "2"}, {"dataset", "cifar10"}, {"image_size", "32"}};
    EXPECT_EQ((metadata.get<std::map<std::string, std::string>>()), expected);
  }

  const fs::path test_batch_ = data_ / "test_batch.bin";
};

TEST_F(ExportOfTraining, OnNasBench201) {
  const std::string cell = "|nor_conv_3x3~0|+|none~0|nor_conv_1x1~1|+|skip_connect~0|avg_pool_3x3~1|none~2|";
  train(cell, {"--channels", "4", "--cells", "1"});
  const std::string run = file("run"), model = file("net.onnx"), tensors = file("net.safetensors");
  const Outcome outcome = flowdarts(
      {"export", run, "--onnx", model, "--fold-bn", "--features", "--safetensors", tensors, "--genotype-text"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(outcome.out, cell + "\n");
  EXPECT_EQ(flowdarts({"export", checkpoints(run).back().string(), "--genotype-text"}).out, cell + "\n");
  expect_noted_loss(model, "nas-bench-201", cell);
  expect_loads("TinyNetwork",
               {{"ops", {"nor_conv_3x3", "none", "nor_conv_1x1", "skip_connect", "avg_pool_3x3", "none"}},
                {"channels", 4},
                {"cells", 1},
                {"classes", 10}},
               tensors);
  const Outcome refused = flowdarts({"export", run, "--supernet", "--safetensors", tensors});
  EXPECT_EQ(refused.code, 2);
  EXPECT_EQ(refused.err,
            "flowdarts: " + run + ": found a training, which has no search network; leave --supernet out\n");
}

// Of averaged weights, which are those that were tested.
TEST_F(ExportOfTraining, OnTheDartsSpace) {
  const std::string inputs = "[('sep_conv_3x3', 0), ('skip_connect', 1), ('dil_conv_3x3', 0), ('max_pool_3x3', 2)]";
  const std::string cells =
      "Genotype(normal=" + inputs + ", normal_concat=range(2, 4), reduce=" + inputs + ", reduce_concat=range(2, 4))";
  const Json genotype{{"space", "darts"}, {"genotype", cells}};
  write(folder_ / "genotype.json", genotype.dump());
  train(file("genotype.json"),
        {"--channels", "4", "--cells", "3", "--auxiliary-weight", "0.4", "--average-decay", "0.5"});
  const std::string model = file("net.onnx");
  const Outcome outcome = flowdarts({"export", file("run"), "--onnx", model});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  expect_noted_loss(model, "darts", cells);
}

}  // namespace
}  // namespace flowdarts::integration
