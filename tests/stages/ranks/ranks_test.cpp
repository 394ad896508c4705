// Runs in several processes at once, started by mpirun: every rank runs every case.

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cstring>
#include <flowdarts/stages/ranks/gradient_sum.hpp>
#include <flowdarts/stages/ranks/ranks.hpp>
#include <flowdarts/stages/ranks/share.hpp>
#include <string>
#include <vector>

namespace flowdarts {
namespace {

Ranks* ranks = nullptr;  // main()'s; every case makes the same collective calls in every rank

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
  testing::InitGoogleTest(&argc, argv);
  const auto opened = flowdarts::open_ranks("test_ranks");
  if (opened->size() < 2) {
    std::cerr << "test_ranks: started alone, expected mpirun -n 2\n";
    return 2;
  }
  flowdarts::ranks = opened.get();
  return RUN_ALL_TESTS();
}
