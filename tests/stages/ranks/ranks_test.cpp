// Runs in several processes at once, started by mpirun: every rank runs every case.

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <array>
#include <csignal>
#include <cstring>
#include <flowdarts/pipeline/shared_search.hpp>
#include <flowdarts/spaces/support/error.hpp>
#include <flowdarts/spaces/support/random.hpp>
#include <flowdarts/stages/prune/shared_ranking.hpp>
#include <flowdarts/stages/ranks/gradient_sum.hpp>
#include <flowdarts/stages/ranks/ranks.hpp>
#include <flowdarts/stages/ranks/share.hpp>
#include <string>
#include <vector>

#include "test_ranks.hpp"

namespace flowdarts {
namespace {

using testing::ranks;

TEST(Communicator, AddsUpOverAllRanks) {
  const auto communicator = ranks->open();
  const int n = communicator->size(), r = communicator->rank();
  std::vector<double> doubles{1.0 + r, 0.5};
  communicator->add_up(std::span<double>(doubles));
  EXPECT_EQ(doubles, (std::vector<double>{n + n * (n - 1) / 2.0, 0.5 * n}));
  std::vector<float> floats{static_cast<float>(r)};
  communicator->add_up(std::span<float>(floats));
  EXPECT_EQ(floats[0], static_cast<float>(n * (n - 1)) / 2);
  EXPECT_EQ(communicator->traffic().messages, 2);
  EXPECT_EQ(communicator->traffic().bytes, 20);
}

TEST(Communicator, GathersBytesOfAnyNumberByRank) {
  const auto communicator = ranks->open();
  const std::vector<std::byte> own(static_cast<std::size_t>(communicator->rank()), std::byte{7});
  const auto all = communicator->gather(own);
  ASSERT_EQ(all.size(), static_cast<std::size_t>(communicator->size()));
  for (std::size_t r = 0; r < all.size(); ++r) EXPECT_EQ(all[r], std::vector<std::byte>(r, std::byte{7}));
}

/// A small network of leaves whose loss on a batch is a mean over its samples.
struct Net {
  std::vector<torch::Tensor> weights;

  Net() {
    torch::manual_seed(1);
    for (const auto& [rows, columns] : {std::pair{5, 7}, {7, 7}, {7, 3}, {2, 2}}) {
      weights.push_back(torch::randn({rows, columns}, torch::kDouble).requires_grad_());
    }
  }
  // The last weight takes no part.
  [[nodiscard]] torch::Tensor loss(const torch::Tensor& x) const {
    return torch::tanh(torch::tanh(x.mm(weights[0])).mm(weights[1])).mm(weights[2]).square().sum(1).mean();
  }
};

TEST(GradientSum, IsTheGradientOfTheWholeBatch) {
  for (const std::int64_t bucket_bytes : {std::int64_t{8}, std::int64_t{500}, std::int64_t{1} << 20U}) {
    const GradientSum sum(make_sum_beside(ranks->open(), torch::kCPU), bucket_bytes);
    const Net net;
    for (std::uint64_t step = 0; step < 3; ++step) {
      torch::manual_seed(10 + step);
      const torch::Tensor whole = torch::randn({11, 5}, torch::kDouble);
      const Share share = share_of(11, ranks->rank(), ranks->size());
      const torch::Tensor own =
          whole.slice(0, static_cast<std::int64_t>(share.begin), static_cast<std::int64_t>(share.end));
      const auto found = sum(net.loss(own), net.weights, static_cast<double>(share.size()) / 11);
      const auto expected = torch::autograd::grad({net.loss(whole)}, net.weights, {}, {}, false, /*allow_unused=*/true);
      for (std::size_t i = 0; i < 3; ++i) {
        EXPECT_LT((found[i] - expected[i]).abs().max().item<double>(), 1e-14) << bucket_bytes;
      }
      EXPECT_TRUE(found[3].equal(torch::zeros({2, 2}, torch::kDouble)));
    }
  }
}

TEST(RankTogether, GivesTheRankingOfOneProcessTiesIncluded) {
  CounterRng rng(3, Stream::noise);
  for (const std::size_t size : {1U, 3U, 4U, 1000U}) {
    std::vector<double> scores(size);
    std::vector<std::uint8_t> eligible(size);
    for (std::size_t i = 0; i < size; ++i) {
      scores[i] = static_cast<double>(rng.below(5)) - 2;  // many are equal; 0 and -0 are
      if (scores[i] == 0 && i % 2 == 0) scores[i] = -0.0;
      eligible[i] = rng.below(8) != 0;
    }
    const auto communicator = ranks->open();
    for (const SortOrder order : {SortOrder::ascending, SortOrder::descending}) {
      EXPECT_EQ(rank_together(*communicator, scores, eligible, order), rank(scores, eligible, order));
      EXPECT_EQ(rank_together(*communicator, scores, {}, order), rank(scores, {}, order));
    }
  }
}

TEST(SharedSearch, NamesTheRankAndWhatDiffers) {
  const SharedSearch shared(std::shared_ptr<Ranks>(std::shared_ptr<void>(), ranks));
  shared.require_same({{"alpha", 1}, {"masks", 2}}, "after epoch 3");
  const bool last = ranks->rank() + 1 == ranks->size();
  try {
    shared.require_same({{"alpha", 1}, {"masks", last ? 7U : 2U}}, "after epoch 4");
    ADD_FAILURE() << "no difference was found";
  } catch (const RunError& error) {
    EXPECT_EQ(std::string(error.what()), "the processes differ after epoch 4: found another masks in rank " +
                                             std::to_string(ranks->size() - 1) + " than in rank 0, expected the same");
  }
  shared.require_same_identity({{"space", "darts"}});
  try {
    shared.require_same_identity({{"space", last ? "mobilenet" : "darts"}});
    ADD_FAILURE() << "no difference was found";
  } catch (const InputError& error) {
    EXPECT_EQ(std::string(error.what()), "rank " + std::to_string(ranks->size() - 1) +
                                             ": is of another run: space is 'mobilenet', expected 'darts'");
  }
}

TEST(SharedSearch, AddsUpAnEpoch) {
  const SharedSearch shared(std::shared_ptr<Ranks>(std::shared_ptr<void>(), ranks));
  const int n = ranks->size(), r = ranks->rank();
  EpochSums sums;
  sums.loss.train = 0.5;
  sums.correct.val = r;
  sums.samples.train = 3;
  PerSplit<std::optional<ErrorHistory>> histories;
  histories.val.emplace(std::vector<std::int64_t>{4, 6, 9});
  histories.val->observe(std::vector<std::int64_t>{6, 9}, std::vector<float>{static_cast<float>(r), 1.0F});
  if (r == 0) histories.val->observe(std::vector<std::int64_t>{4}, std::vector<float>{0.25F});
  shared.merge(sums, histories);
  EXPECT_EQ(sums.loss.train, 0.5 * n);
  EXPECT_EQ(sums.correct.val, n * (n - 1) / 2);
  EXPECT_EQ(sums.samples.train, 3 * n);
  const ErrorHistory::State& state = histories.val->state();
  EXPECT_EQ(state.epoch_sum, (std::vector<double>{0.25, n * (n - 1) / 2.0, 1.0 * n}));
  EXPECT_EQ(state.epoch_visits,
            (std::vector<std::uint32_t>{1, static_cast<std::uint32_t>(n), static_cast<std::uint32_t>(n)}));
  histories.val->forget_epoch();
  EXPECT_EQ(histories.val->state().epoch_visits, (std::vector<std::uint32_t>{0, 0, 0}));
}

// Of 3 ranks and 2 samples each has all, and the first one reports them.
TEST(SharedSearch, SharesBatchesAndAgreesOnWhatIsMissing) {
  const SharedSearch shared(std::shared_ptr<Ranks>(std::shared_ptr<void>(), ranks));
  const auto n = static_cast<std::size_t>(ranks->size());
  BatchPlan whole;
  for (std::size_t i = 0; i < 3 * n + 1; ++i) whole.ids.push_back(static_cast<std::int64_t>(i));
  const BatchPlan part = shared.share_of(whole);
  EXPECT_DOUBLE_EQ(part.share.part, static_cast<double>(part.ids.size()) / static_cast<double>(whole.ids.size()));
  EXPECT_FALSE(part.share.everywhere);
  whole.ids.resize(n - 1);
  const BatchPlan few = shared.share_of(whole);
  EXPECT_EQ(few.ids, whole.ids);
  EXPECT_DOUBLE_EQ(few.share.part, 1.0 / static_cast<double>(n));
  Batch batch{.share = few.share};
  EXPECT_EQ(shared.reports(batch), ranks->rank() == 0);
  batch.share.everywhere = false;
  EXPECT_TRUE(shared.reports(batch));

  // The last rank has lost one of two samples of the first batch, and all of the second.
  const bool last = ranks->rank() + 1 == ranks->size();
  Batch first{.ids = {1, 2}}, second{.ids = {3}};
  if (last) {
    first.ids.pop_back();
    second.ids.clear();
  }
  shared.agree_on(std::array{&first, &second});
  EXPECT_DOUBLE_EQ(first.share.part, (last ? 1.0 : 2.0) / static_cast<double>(2 * n - 1));
  EXPECT_TRUE(second.ids.empty());
}

TEST(SharedSearch, AgreesOnASignalThatOneHasGot) {
  const SharedSearch shared(std::shared_ptr<Ranks>(std::shared_ptr<void>(), ranks));
  EXPECT_EQ(shared.agree_on_signal(0), 0);
  EXPECT_EQ(shared.agree_on_signal(ranks->rank() == 1 ? SIGTERM : 0), SIGTERM);
  EXPECT_EQ(shared.agree_on_signal(ranks->rank() == 0 ? SIGINT : SIGTERM), SIGINT);
}

TEST(GradientSum, GivesEveryRankTheSameBitsInTheInputsOwnLayout) {
  const auto communicator = ranks->open();
  const GradientSum sum(make_sum_beside(ranks->open(), torch::kCPU));
  torch::manual_seed(ranks->rank());
  const torch::Tensor x = torch::randn({4, 3, 6, 6});
  torch::manual_seed(1);
  const torch::Tensor w = torch::randn({8, 3, 3, 3}).contiguous(torch::MemoryFormat::ChannelsLast).requires_grad_();
  const torch::Tensor gradient = sum(torch::conv2d(x, w).square().mean(), {w}, 1.0 / ranks->size())[0];
  EXPECT_EQ(gradient.strides(), w.strides());
  std::vector<std::byte> bytes(gradient.nbytes());
  std::memcpy(bytes.data(), gradient.const_data_ptr(), bytes.size());
  for (const auto& other : communicator->gather(bytes)) EXPECT_EQ(other, bytes);
}

}  // namespace
}  // namespace flowdarts

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  const auto opened = flowdarts::open_ranks("test_ranks");
  if (opened->size() < 2) {
    std::cerr << "test_ranks: started alone, expected mpirun -n 2\n";
    return 2;
  }
  flowdarts::testing::ranks = opened.get();
  return RUN_ALL_TESTS();
}
