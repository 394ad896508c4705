// Supernets whose batch statistics are shared by processes, each of which is a thread here: on shares of a batch they
// must do what one supernet does on all of it.

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <barrier>
#include <cstddef>
#include <exception>
#include <flowdarts/spaces/darts/supernet.hpp>
#include <flowdarts/spaces/mobilenet/supernet.hpp>
#include <flowdarts/spaces/nas_bench_201/supernet.hpp>
#include <flowdarts/spaces/supernet.hpp>
#include <functional>
#include <memory>
#include <ostream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "agreement.hpp"
#include "nas_bench_201/golden_fill.hpp"

namespace flowdarts {
namespace {

using testing::expect_same_statistics;
using testing::golden;
using testing::golden_fill;
using testing::largest;
using torch::Tensor;

/// What threads add up together.
class Group {
 public:
  explicit Group(std::size_t ranks) : barrier_(static_cast<std::ptrdiff_t>(ranks)), shares_(ranks) {}

  /// Of one rank; in the order of the ranks, so all get the same bits.
  void add_up(std::size_t rank, const Tensor& tensor) {
    shares_[rank] = tensor.clone();
    barrier_.arrive_and_wait();
    Tensor sum = torch::zeros_like(shares_[0]);
    for (const Tensor& share : shares_) {
      TORCH_CHECK(share.sizes() == tensor.sizes() && share.scalar_type() == tensor.scalar_type(),
                  "ranks add up tensors that do not fit one another");
      sum += share;
    }
    barrier_.arrive_and_wait();
    tensor.copy_(sum);
  }

  /// Of a rank that failed: the others need not wait for it.
  void leave() { barrier_.arrive_and_drop(); }

 private:
  std::barrier<> barrier_;
  std::vector<Tensor> shares_;
};

class ThreadSum : public RankSum {
 public:
  ThreadSum(Group* group, std::size_t rank) : group_(group), rank_(rank) {}

  void add_up(const Tensor& tensor) const override {
    const torch::NoGradGuard no_grad;
    TORCH_CHECK(tensor.is_contiguous() && tensor.scalar_type() == torch::kDouble, "a message is contiguous doubles");
    ++messages_;
    group_->add_up(rank_, tensor);
  }

  [[nodiscard]] int messages() const { return messages_; }

 private:
  Group* group_;
  std::size_t rank_;
  mutable std::atomic<int> messages_ = 0;
};

/// f(rank, its sum), each on a thread of its own.
void on_ranks(std::size_t ranks, const std::function<void(std::size_t, const std::shared_ptr<ThreadSum>&)>& f) {
  Group group(ranks);
  std::vector<std::exception_ptr> failures(ranks);
  std::vector<std::jthread> threads;
  for (std::size_t rank = 0; rank < ranks; ++rank) {
    threads.emplace_back([&, rank] {
      at::set_num_threads(1);
      try {
        f(rank, std::make_shared<ThreadSum>(&group, rank));
      } catch (...) {
        failures[rank] = std::current_exception();
        group.leave();
      }
    });
  }
  threads.clear();
  for (const std::exception_ptr& failure : failures) {
    if (failure) std::rethrow_exception(failure);
  }
}

enum class Asked { all, weights, arch };

struct Case {
  std::string name;
  std::function<std::shared_ptr<Supernet>()> make;
  std::int64_t side = 8;
  double dropped = 0;  // op weights below it are 0, and the rest is masked so
  Asked asked = Asked::all;
};

void PrintTo(const Case& c, std::ostream* out) {
  *out << c.name;
}

constexpr std::int64_t batch = 7;

std::vector<Tensor> op_weights_of(const Case& c, const Supernet& supernet) {
  std::vector<Tensor> weights;
  for (const ArchShape& shape : supernet.arch_shapes()) {
    const auto offset = static_cast<std::uint32_t>(1000 * weights.size());
    Tensor own = competing_softmax(golden({shape.rows, shape.columns}, 0.5, 0.0, offset), shape);
    if (shape.row_groups.empty()) own.masked_fill_(own < c.dropped, 0.0);
    weights.push_back(own);
  }
  return weights;
}

/// What passes give, gradients summed over the shares.
struct Pass {
  Tensor logits;
  std::vector<Tensor> arch, weights;
};

/// A pass over some images of the batch.
Pass run(Supernet& supernet, const Case& c, std::int64_t first, std::int64_t count) {
  std::vector<Tensor> op_weights = op_weights_of(c, supernet);
  std::vector<Tensor> inputs;
  if (c.asked != Asked::arch) inputs = supernet.parameters();
  const auto parameters = static_cast<std::ptrdiff_t>(inputs.size());
  for (Tensor& own : supernet.parameters()) own.requires_grad_(c.asked != Asked::arch);
  for (Tensor& own : op_weights) own.requires_grad_(c.asked != Asked::weights);
  if (c.asked != Asked::weights) inputs.insert(inputs.end(), op_weights.begin(), op_weights.end());
  const Tensor images = golden({batch, 3, c.side, c.side}).narrow(0, first, count);
  const Tensor labels = torch::arange(batch, torch::kInt64).remainder(10).narrow(0, first, count);
  const Tensor logits = supernet.forward(images.contiguous(torch::MemoryFormat::ChannelsLast), op_weights);
  // The loss of the whole batch is the sum of those of the shares.
  const Tensor loss = torch::cross_entropy_loss(logits, labels, {}, at::Reduction::Sum) / batch;
  auto gradients = torch::autograd::grad({loss}, inputs, {}, false, false, /*allow_unused=*/true);
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    if (!gradients[i].defined()) gradients[i] = torch::zeros_like(inputs[i]);
  }
  return {.logits = logits.detach(),
          .arch = {gradients.begin() + parameters, gradients.end()},
          .weights = {gradients.begin(), gradients.begin() + parameters}};
}

void expect_close(const std::vector<Tensor>& actual, const std::vector<Tensor>& expected, double relative) {
  double scale = 0;
  for (const Tensor& tensor : expected) scale = std::max(scale, largest(tensor));
  ASSERT_EQ(actual.size(), expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    EXPECT_LE(largest(actual[i] - expected[i]), relative * scale) << "tensor " << i;
  }
}

std::vector<Tensor> sum_of(std::vector<Tensor> sums, const std::vector<Tensor>& own) {
  if (sums.empty()) return own;
  for (std::size_t i = 0; i < sums.size(); ++i) sums[i] = sums[i] + own[i];
  return sums;
}

std::shared_ptr<Supernet> filled(const Case& c) {
  std::shared_ptr<Supernet> supernet = c.make();
  golden_fill(*supernet);
  if (c.dropped > 0) {
    std::vector<Tensor> masks;
    for (const Tensor& own : op_weights_of(c, *supernet)) masks.push_back((own != 0).to(torch::kDouble));
    // One op of weight 0 is left, so that it runs.
    masks[0].flatten()[(masks[0].flatten() == 0).nonzero()[0].item<std::int64_t>()] = 1;
    supernet->set_masks(masks);
  }
  return supernet;
}

void expect_shares_to_be_one(const Case& c, const std::vector<std::int64_t>& shares, double relative) {
  const std::shared_ptr<Supernet> single = filled(c);
  const Pass expected = run(*single, c, 0, batch);
  std::vector<std::shared_ptr<Supernet>> supernets;
  for (std::size_t rank = 0; rank < shares.size(); ++rank) supernets.push_back(filled(c));
  std::vector<Pass> passes(shares.size());
  std::vector<int> messages(shares.size());
  on_ranks(shares.size(), [&](std::size_t rank, const std::shared_ptr<ThreadSum>& sum) {
    supernets[rank]->share_statistics(sum);
    std::int64_t first = 0;
    for (std::size_t before = 0; before < rank; ++before) first += shares[before];
    passes[rank] = run(*supernets[rank], c, first, shares[rank]);
    messages[rank] = sum->messages();
  });
  EXPECT_GT(messages[0], 0);
  std::vector<Tensor> logits, arch, weights;
  for (std::size_t rank = 0; rank < shares.size(); ++rank) {
    EXPECT_EQ(messages[rank], messages[0]);
    logits.push_back(passes[rank].logits);
    arch = sum_of(arch, passes[rank].arch);
    weights = sum_of(weights, passes[rank].weights);
    expect_same_statistics(*supernets[rank], *single, relative);
  }
  expect_close({torch::cat(logits)}, {expected.logits}, relative);
  expect_close(arch, expected.arch, relative);
  expect_close(weights, expected.weights, relative);
}

template <class Net, class Spec>
std::function<std::shared_ptr<Supernet>()> maker(const Spec& spec) {
  return [spec] { return std::make_shared<Net>(spec); };
}

/// As on a GPU.
template <class Net, class Spec>
std::function<std::shared_ptr<Supernet>()> maker_of_composed(const Spec& spec) {
  return [spec] {
    const auto supernet = std::make_shared<Net>(spec);
    supernet->compose();
    return supernet;
  };
}

void add_nas_bench_201(std::vector<Case>& cases) {
  using namespace nas_bench_201;
  OpMask present = all_ops();
  present[1][column::nor_conv_3x3] = present[3][column::nor_conv_1x1] = present[4][column::nor_conv_3x3] = false;
  const std::vector<std::pair<std::string, SupernetSpec>> specs{
      {"Small", {.channels = 4, .cells = 1}},
      {"ManyCells", {.channels = 3, .cells = 2}},
      {"AffineWithBias", {.channels = 4, .cells = 1, .conv_bias = true, .affine = true}},
      {"WithoutRunningStatistics", {.channels = 4, .cells = 1, .track_running_stats = false}},
      {"SomeOpsGone", {.channels = 4, .cells = 1, .present = present}},
      {"PartialChannels", {.channels = 4, .cells = 1, .partial = 2, .edge_weights = true}},
  };
  for (const auto& [name, spec] : specs) {
    cases.push_back({"NasBench201Oracle" + name, maker<OracleSupernet>(spec)});
    cases.push_back({"NasBench201Fused" + name, maker<FusedSupernet>(spec)});
  }
  const SupernetSpec small{.channels = 4, .cells = 1};
  cases.push_back({"NasBench201OracleMasked", maker<OracleSupernet>(small), 8, 0.15});
  cases.push_back({"NasBench201FusedMasked", maker<FusedSupernet>(small), 8, 0.15});
  cases.push_back({"NasBench201FusedWeightsAlone", maker<FusedSupernet>(small), 8, 0, Asked::weights});
  cases.push_back({"NasBench201FusedArchAlone", maker<FusedSupernet>(small), 8, 0, Asked::arch});
}

void add_darts(std::vector<Case>& cases) {
  using namespace darts;
  const std::vector<std::pair<std::string, SupernetSpec>> specs{
      {"NormalAndReduction", {.channels = 4, .cells = 3, .nodes = 2}},
      {"PartialChannels", {.channels = 8, .cells = 3, .nodes = 2, .partial = 4, .edge_weights = true}},
      {"IsDarts", {.channels = 4, .cells = 3, .nodes = 2, .pool_norm = false, .conv_bias = true, .last_norm = true}},
      {"WithoutRunningStatistics", {.channels = 4, .cells = 3, .nodes = 1, .track_running_stats = false}},
  };
  for (const auto& [name, spec] : specs) {
    cases.push_back({"DartsOracle" + name, maker<OracleSupernet>(spec), 16});
    cases.push_back({"DartsFused" + name, maker<FusedSupernet>(spec), 16});
    cases.push_back({"DartsComposed" + name, maker_of_composed<FusedSupernet>(spec), 16});
  }
  const SupernetSpec small{.channels = 4, .cells = 3, .nodes = 2};
  cases.push_back({"DartsOracleMasked", maker<OracleSupernet>(small), 16, 0.12});
  cases.push_back({"DartsFusedMasked", maker<FusedSupernet>(small), 16, 0.12});
  cases.push_back({"DartsFusedWeightsAlone", maker<FusedSupernet>(small), 16, 0, Asked::weights});
  cases.push_back({"DartsFusedArchAlone", maker<FusedSupernet>(small), 16, 0, Asked::arch});
}

mobilenet::SupernetSpec small_mobilenet() {
  return {.widths = {.stem = 4, .stages = {2, 2, 3, 4, 4, 5, 6}, .head = 8}, .classes = 10, .stem_stride = 1};
}

void add_mobilenet(std::vector<Case>& cases) {
  using namespace mobilenet;
  const SupernetSpec small = small_mobilenet();
  cases.push_back({"MobileNetOracle", maker<OracleSupernet>(small), 32});
  cases.push_back({"MobileNetFused", maker<FusedSupernet>(small), 32});
  cases.push_back({"MobileNetComposed", maker_of_composed<FusedSupernet>(small), 32});
  cases.push_back({"MobileNetOracleMasked", maker<OracleSupernet>(small), 32, 0.13});
  cases.push_back({"MobileNetFusedMasked", maker<FusedSupernet>(small), 32, 0.13});
  cases.push_back({"MobileNetFusedWeightsAlone", maker<FusedSupernet>(small), 32, 0, Asked::weights});
  cases.push_back({"MobileNetFusedArchAlone", maker<FusedSupernet>(small), 32, 0, Asked::arch});
}

std::vector<Case> cases() {
  std::vector<Case> all;
  add_nas_bench_201(all);
  add_darts(all);
  add_mobilenet(all);
  return all;
}

class SharedStatistics : public ::testing::TestWithParam<Case> {};

TEST_P(SharedStatistics, TwoSharesAreOneBatch) {
  expect_shares_to_be_one(GetParam(), {4, 3}, 1e-10);
}

TEST_P(SharedStatistics, ThreeUnequalSharesAreOneBatch) {
  expect_shares_to_be_one(GetParam(), {1, 4, 2}, 1e-10);
}

INSTANTIATE_TEST_SUITE_P(Supernets, SharedStatistics, ::testing::ValuesIn(cases()),
                         [](const auto& test) { return test.param.name; });

/// Messages of a forward and of a backward pass.
std::pair<int, int> messages_of(const Case& c) {
  std::pair<int, int> messages;
  on_ranks(1, [&](std::size_t, const std::shared_ptr<ThreadSum>& sum) {
    const std::shared_ptr<Supernet> supernet = filled(c);
    supernet->share_statistics(sum);
    {
      const torch::NoGradGuard no_grad;
      supernet->forward(golden({batch, 3, c.side, c.side}), op_weights_of(c, *supernet));
    }
    messages.first = sum->messages();
    run(*supernet, c, 0, batch);
    messages.second = sum->messages() - 2 * messages.first;
  });
  return messages;
}

// A cell: one a node that is read, one a node that sums. Around the cells: stem, two blocks of two norms, the last
// norm.
TEST(SharedStatisticsMessages, OneOfEachNodeOfANasBench201Cell) {
  using namespace nas_bench_201;
  for (const int cells : {1, 2}) {
    const int expected = 3 * cells * 3 + 1 + 2 * 2 + 1;
    const Case c{"", maker<FusedSupernet>(SupernetSpec{.channels = 4, .cells = cells})};
    EXPECT_EQ(messages_of(c), std::pair(expected, expected)) << cells << " cells a stage";
  }
}

// A cell: two preprocessings; of each state, what reads it and the second halves of sep_convs.
TEST(SharedStatisticsMessages, TwoOfEachStateOfADartsCell) {
  using namespace darts;
  const int states = 4, cells = 3;
  const Case c{"", maker<FusedSupernet>(SupernetSpec{.channels = 4, .cells = cells, .nodes = states - 1}), 16};
  const int expected = 1 + cells * (2 + 2 * states);
  EXPECT_EQ(messages_of(c), std::pair(expected, expected));
}

// One for each batch norm of an MBConv, of all candidates; the stem, two of the fixed block, the head.
TEST(SharedStatisticsMessages, ThreeOfAMobileNetLayer) {
  using namespace mobilenet;
  const int expected = 3 * layer_count + 4;
  const Case c{"", maker<FusedSupernet>(small_mobilenet()), 32};
  EXPECT_EQ(messages_of(c), std::pair(expected, expected));
}

std::vector<Case> one_of_each_form() {
  const nas_bench_201::SupernetSpec cell{.channels = 4, .cells = 1};
  const darts::SupernetSpec darts{.channels = 4, .cells = 3, .nodes = 2};
  return {{"NasBench201Oracle", maker<nas_bench_201::OracleSupernet>(cell)},
          {"NasBench201Fused", maker<nas_bench_201::FusedSupernet>(cell)},
          {"DartsOracle", maker<darts::OracleSupernet>(darts), 16},
          {"DartsFused", maker<darts::FusedSupernet>(darts), 16},
          {"MobileNetOracle", maker<mobilenet::OracleSupernet>(small_mobilenet()), 32},
          {"MobileNetFused", maker<mobilenet::FusedSupernet>(small_mobilenet()), 32}};
}

std::vector<Tensor> copies(const std::vector<Tensor>& tensors) {
  std::vector<Tensor> all;
  for (const Tensor& tensor : tensors) all.push_back(tensor.clone());
  return all;
}

TEST(SharedStatisticsModes, FrozenStatisticsStayAndRunningOnesNeedNoMessage) {
  for (const Case& c : one_of_each_form()) {
    SCOPED_TRACE(c.name);
    on_ranks(1, [&](std::size_t, const std::shared_ptr<ThreadSum>& sum) {
      const std::shared_ptr<Supernet> supernet = filled(c);
      supernet->share_statistics(sum);
      supernet->set_statistics_updates(false);
      const std::vector<Tensor> before = copies(supernet->buffers());
      run(*supernet, c, 0, batch);
      const std::vector<Tensor> after = supernet->buffers();
      for (std::size_t i = 0; i < before.size(); ++i) EXPECT_TRUE(torch::equal(before[i], after[i]));
      const int training = sum->messages();
      EXPECT_GT(training, 0);
      supernet->eval();
      run(*supernet, c, 0, batch);
      EXPECT_EQ(sum->messages(), training);
    });
  }
}

// A supernet that shares no more is the one that never did, bit for bit.
TEST(SharedStatisticsModes, EndWithNull) {
  for (const Case& c : one_of_each_form()) {
    SCOPED_TRACE(c.name);
    const std::shared_ptr<Supernet> plain = filled(c), shared = filled(c);
    Group group(1);
    const auto sum = std::make_shared<ThreadSum>(&group, 0);
    shared->share_statistics(sum);
    EXPECT_FALSE(shared->recordable());
    shared->share_statistics(nullptr);
    EXPECT_EQ(shared->recordable(), plain->recordable());
    const Pass expected = run(*plain, c, 0, batch), actual = run(*shared, c, 0, batch);
    EXPECT_EQ(sum->messages(), 0);
    EXPECT_TRUE(torch::equal(actual.logits, expected.logits));
    for (std::size_t i = 0; i < expected.weights.size(); ++i) {
      EXPECT_TRUE(torch::equal(actual.weights[i], expected.weights[i])) << "parameter " << i;
    }
  }
}

TEST(SharedStatisticsModes, LogitsInBfloat16) {
  using namespace nas_bench_201;
  const auto make = [] {
    auto supernet = std::make_shared<FusedSupernet>(SupernetSpec{.channels = 16, .cells = 1}, Precision::bf16);
    golden_fill(*supernet);
    supernet->to(torch::kFloat);
    return supernet;
  };
  const Tensor images = golden({batch, 3, 16, 16}).to(torch::kFloat);
  const std::vector<Tensor> op_weights{golden({6, 5}, 0.5).softmax(1).to(torch::kFloat)};
  const Tensor expected = make()->forward(images, op_weights).detach();
  std::vector<Tensor> logits(2);
  on_ranks(2, [&](std::size_t rank, const std::shared_ptr<ThreadSum>& sum) {
    const auto supernet = make();
    supernet->share_statistics(sum);
    logits[rank] = supernet->forward(images.narrow(0, rank == 0 ? 0 : 3, rank == 0 ? 3 : 4), op_weights).detach();
  });
  expect_close({torch::cat(logits)}, {expected}, 3e-2);
}

}  // namespace
}  // namespace flowdarts
