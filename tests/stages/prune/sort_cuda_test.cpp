// Ranking on a GPU beside other work; what it gives is tested with the other back ends.

#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <chrono>
#include <flowdarts/spaces/support/random.hpp>
#include <flowdarts/stages/prune/sort.hpp>
#include <future>
#include <stdexcept>
#include <thread>
#include <vector>

namespace flowdarts {
namespace {

std::vector<double> some_scores(std::size_t count, std::uint64_t seed) {
  std::vector<double> scores(count);
  CounterRng rng(seed, Stream::noise);
  for (double& score : scores) score = static_cast<double>(rng.below(1000)) / 7;
  return scores;
}

class SortOnGpu : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!is_available(SortBackend::cuda)) GTEST_SKIP() << "no GPU in this machine";
  }
};

TEST_F(SortOnGpu, ASorterServesManyRankings) {
  const auto sorter = make_device_sorter(50'000);
  for (const std::size_t size : {50'000U, 1U, 0U, 12'345U, 50'000U}) {
    const auto scores = some_scores(size, size);
    for (const SortOrder order : {SortOrder::ascending, SortOrder::descending}) {
      EXPECT_EQ(rank(scores, {}, order, {SortBackend::cuda, sorter.get()}),
                rank(scores, {}, order, {SortBackend::serial}));
    }
  }
  EXPECT_THROW((void)rank(some_scores(50'001, 1), {}, SortOrder::ascending, {SortBackend::cuda, sorter.get()}),
               std::invalid_argument);
  EXPECT_THROW((void)sorter->sort(50'001), std::length_error);
}

TEST_F(SortOnGpu, TwoThreadsSortAtOnce) {
  std::vector<std::jthread> threads;
  for (std::uint64_t t = 0; t < 2; ++t) {
    threads.emplace_back([t] {
      const auto scores = some_scores(200'000, t);
      const auto expected = rank(scores, {}, SortOrder::ascending, {SortBackend::serial});
      const auto sorter = make_device_sorter(scores.size());
      for (int i = 0; i < 5; ++i) {
        EXPECT_EQ(rank(scores, {}, SortOrder::ascending, {SortBackend::cuda, sorter.get()}), expected);
      }
    });
  }
}

TEST_F(SortOnGpu, WaitsForNoOtherStream) {
  const auto scores = some_scores(300'000, 3);
  const auto sorter = make_device_sorter(scores.size());
  const Sorter on_gpu{SortBackend::cuda, sorter.get()};
  const auto expected = rank(scores, {}, SortOrder::ascending, on_gpu);  // kernels are loaded now

  // The default stream is held up until the ranking is there.
  std::promise<void> release;
  std::future<void> released = release.get_future();
  ASSERT_EQ(cudaLaunchHostFunc(
                nullptr, [](void* gate) { static_cast<std::future<void>*>(gate)->wait(); }, &released),
            cudaSuccess);
  auto ranking = std::async(std::launch::async, [&] { return rank(scores, {}, SortOrder::ascending, on_gpu); });
  EXPECT_EQ(ranking.wait_for(std::chrono::seconds(20)), std::future_status::ready) << "waits for the default stream";
  release.set_value();
  EXPECT_EQ(ranking.get(), expected);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
}

}  // namespace
}  // namespace flowdarts
