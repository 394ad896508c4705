// Whole searches with tensors on a GPU against the same on a CPU.

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <flowdarts/pipeline/search.hpp>
#include <flowdarts/policies/recipes.hpp>
#include <fstream>
#include <iterator>
#include <string>

#include "recording_space.hpp"
#include "run_directory/testing.hpp"

namespace flowdarts::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using BdpDarts = recipes::BdpDarts<RecordingSpace>;

class SearchOnGpu : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!torch::cuda::is_available()) GTEST_SKIP() << "no GPU in this machine";
    write_numbered_images(folder_ / "cifar10", 60);
  }

  /// Four epochs of three steps; both splits are pruned after the second.
  [[nodiscard]] SearchOptions<BdpDarts> options(const std::string& run, Device device) const {
    SearchOptions<BdpDarts> options;
    options.run.out = (folder_ / run).string();
    options.run.device = device;
    options.run.mixed_op = MixedOpForm::oracle;
    options.run.epochs = 4;
    options.run.batch_size = 10;
    options.run.threads = 2;
    options.run.keep_checkpoints = 1000;
    options.data.dataset = DatasetKind::cifar10;
    options.data.data = (folder_ / "cifar10").string();
    options.data.padding = 0;
    options.weights.lr = 0.5;
    options.alpha.lr = 0.1;
    auto& pruning = options.policies[boost::hana::type_c<roles::DataPruning>];
    pruning.window = 2;
    pruning.ratio_train = 0.2;
    pruning.ratio_val = 0.2;
    return options;
  }

  SearchGraph<BdpDarts>::Result run(const SearchOptions<BdpDarts>& options, std::size_t poison_at = Recorder::no_pass) {
    recorder_ = {.passes = {}, .poison_at = poison_at};
    Recorder::current = &recorder_;
    const std::unique_ptr<std::FILE, int (*)(std::FILE*)> nowhere(std::fopen("/dev/null", "we"), &std::fclose);
    SearchGraph<BdpDarts> search(options, false, {}, "", std::make_shared<Terminal>(::fileno(nowhere.get())));
    return search.run();
  }

  [[nodiscard]] std::string log(const std::string& run) const {
    std::ifstream file(folder_ / run / "log.txt");
    return {std::istreambuf_iterator<char>(file), {}};
  }

  [[nodiscard]] std::size_t checkpoints(const std::string& run) const {
    const fs::directory_iterator files(folder_ / run / "checkpoints");
    return static_cast<std::size_t>(std::distance(begin(files), end(files)));
  }

  TemporaryFolder folder_;
  Recorder recorder_;
};

TEST_F(SearchOnGpu, SeesTheSamplesOfTheCpu) {
  const auto expected = run(options("cpu", Device::cpu));
  const std::vector<Pass> on_cpu = std::move(recorder_.passes);
  const auto result = run(options("gpu", Device::cuda));
  const std::vector<Pass>& on_gpu = recorder_.passes;
  EXPECT_THAT(log("gpu"), HasSubstr("the images live on the GPU"));
  EXPECT_TRUE(result.finished);
  EXPECT_EQ(result.genotype, expected.genotype);
  EXPECT_EQ(result.samples, expected.samples);
  EXPECT_EQ(result.samples.train, 24);
  EXPECT_EQ(checkpoints("gpu"), 4U);
  ASSERT_EQ(on_gpu.size(), on_cpu.size());
  for (std::size_t i = 0; i < on_cpu.size(); ++i) {
    SCOPED_TRACE("pass " + std::to_string(i));
    ASSERT_EQ(on_gpu[i].ids, on_cpu[i].ids);
    for (std::size_t k = 0; k < on_cpu[i].errors.size(); ++k) {
      EXPECT_NEAR(on_gpu[i].errors[k], on_cpu[i].errors[k], 1e-3);
    }
  }
}

TEST_F(SearchOnGpu, ALossThatIsNotFiniteIsNamedAndLeavesNoCheckpoint) {
  for (const std::size_t pass : {0U, 5U, 8U}) {
    fs::remove_all(folder_ / "run");
    const std::string message = message_of<RunError>([&] { run(options("run", Device::cuda), pass); });
    const std::size_t epoch = pass / 6, step = pass % 6 / 2;
    EXPECT_THAT(message,
                HasSubstr(std::string("the loss is nan in the ") + (pass % 2 == 0 ? "arch" : "weight") +
                          " step of epoch " + std::to_string(epoch + 1) + ", step " + std::to_string(step + 1) + ";"));
    EXPECT_EQ(checkpoints("run"), epoch);
  }
}

}  // namespace
}  // namespace flowdarts::testing
