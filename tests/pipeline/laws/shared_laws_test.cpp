// The laws of searches that several processes share, for every method. Started by mpirun: every rank runs every case.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <flowdarts/pipeline/run_directory/checkpoint.hpp>
#include <iostream>
#include <optional>
#include <ostream>

#include "../numbered_images.hpp"
#include "../run_directory/testing.hpp"
#include "law_case.hpp"

namespace flowdarts::testing {

/// For the names of the tests.
void PrintTo(const LawCase& given, std::ostream* out) {
  *out << given.name;
}

namespace {

namespace fs = std::filesystem;

std::shared_ptr<Ranks> ranks;                // main()'s
std::shared_ptr<Communicator> communicator;  // likewise

class SharedLaws : public ::testing::TestWithParam<LawCase> {
 protected:
  // The first rank's folder is everybody's.
  void SetUp() override {
    std::string path;
    if (ranks->writes()) {
      own_.emplace();
      path = (*own_ / "").string();
      write_numbered_images(*own_ / "cifar10", 60);
    }
    const auto first = communicator->gather(std::as_bytes(std::span(path))).front();
    path.resize(first.size());
    std::memcpy(path.data(), first.data(), first.size());
    folder_ = path;
  }
  void TearDown() override { wait_for_all(); }  // nobody still reads

  static void wait_for_all() { communicator->gather({}); }

  [[nodiscard]] LawRun run_of(const std::string& name) const {
    return {
        .data = (folder_ / "cifar10").string(), .out = (folder_ / name).string(), .loader_threads = 1, .ranks = ranks};
  }

  /// The same in every rank.
  template <class T>
  static void expect_agreed(const T& own) {
    for (const auto& other : communicator->gather(std::as_bytes(std::span(own)))) {
      EXPECT_EQ(other.size(), std::as_bytes(std::span(own)).size());
      EXPECT_TRUE(std::ranges::equal(other, std::as_bytes(std::span(own))));
    }
  }

  [[nodiscard]] std::vector<std::byte> last_checkpoint(const std::string& run) const {
    std::vector<fs::path> files;
    for (const auto& entry : fs::directory_iterator(folder_ / run / "checkpoints")) files.push_back(entry.path());
    return read_file(*std::ranges::max_element(files));
  }

  std::optional<TemporaryFolder> own_;
  fs::path folder_;
};

// Every pass sees the same alpha and masks in every rank, with either kind of statistics.
TEST_P(SharedLaws, AllRanksEndInTheSameGenotypeByTheSameWay) {
  for (const bool sync_bn : {false, true}) {
    LawRun how = run_of(sync_bn ? "sync" : "local");
    how.sync_bn = sync_bn;
    const LawOutcome outcome = GetParam().run(how);
    EXPECT_TRUE(outcome.finished);
    EXPECT_EQ(GetParam().reread(outcome.genotype), outcome.genotype);
    expect_agreed(outcome.genotype);
    expect_agreed(std::array{outcome.op_weights, std::uint64_t{outcome.passes}});
  }
}

// One rank gets SIGTERM in the middle of an epoch; all stop there, and go on to the same end.
TEST_P(SharedLaws, InterruptedTheyResumeBitForBit) {
  if (GetParam().traits.slow) GTEST_SKIP() << "runs once";
  const LawOutcome whole = GetParam().run(run_of("whole"));
  LawRun how = run_of("broken");
  if (ranks->rank() == 1) how.interrupt_at = 3;  // the first epoch's second step, or a later one's first
  const LawOutcome first = GetParam().run(how);
  EXPECT_FALSE(first.finished);
  EXPECT_EQ(first.signal, SIGTERM);
  how.resume = true;
  how.interrupt_at = PassCounter::never;
  const LawOutcome second = GetParam().run(how);
  EXPECT_TRUE(second.finished);
  EXPECT_EQ(second.genotype, whole.genotype);
  EXPECT_EQ(first.passes + second.passes, whole.passes) << "a pass was done twice or left out";
  wait_for_all();  // the first one may still write
  EXPECT_TRUE(last_checkpoint("broken") == last_checkpoint("whole"));
}

INSTANTIATE_TEST_SUITE_P(Methods, SharedLaws, ::testing::ValuesIn(law_cases()), ::testing::PrintToStringParamName());

}  // namespace
}  // namespace flowdarts::testing

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  flowdarts::testing::ranks = flowdarts::open_ranks("test_shared_laws");
  if (!flowdarts::testing::ranks->several()) {
    std::cerr << "test_shared_laws: started alone, expected mpirun -n 2\n";
    return 2;
  }
  flowdarts::testing::communicator = flowdarts::testing::ranks->open();
  const int code = RUN_ALL_TESTS();
  flowdarts::testing::communicator.reset();
  flowdarts::testing::ranks.reset();
  return code;
}
