// Steps launched as CUDA graphs against the same steps launched one kernel after the other.

#include <c10/cuda/CUDAFunctions.h>

#include <atomic>
#include <exception>
#include <flowdarts/policies/arch_regularizer/none.hpp>
#include <flowdarts/policies/bilevel/first_order.hpp>
#include <flowdarts/policies/relaxation/softmax.hpp>
#include <flowdarts/spaces/initialise.hpp>
#include <flowdarts/spaces/nas_bench_201/supernet.hpp>
#include <flowdarts/stages/arch_step/arch_step.hpp>
#include <thread>
#include <vector>

#include "../../spaces/mixed_op/on_gpu.hpp"

namespace flowdarts {
namespace {

using nas_bench_201::FusedSupernet;
using nas_bench_201::OracleSupernet;
using nas_bench_201::SupernetSpec;
using torch::Tensor;
using Tensors = std::vector<Tensor>;

/// A loss that no two epochs share.
struct GrowingDecay {
  [[nodiscard]] Tensor loss(const Tensors& alphas, std::int64_t epoch) const {
    return alphas[0].square().sum() * static_cast<double>(epoch + 1);
  }
};

template <class SupernetType>
class NotRecorded : public SupernetType {
 public:
  using SupernetType::SupernetType;
  [[nodiscard]] bool recordable() const override { return false; }
};

DeviceBatch batch_of(std::int64_t images, std::int64_t number) {
  torch::manual_seed(static_cast<std::uint64_t>(number));
  return {torch::randn({images, 3, 8, 8}).to(torch::kCUDA).contiguous(torch::MemoryFormat::ChannelsLast),
          torch::randint(10, {images}, torch::kInt64).to(torch::kCUDA)};
}

/// Six epochs of steps with smaller last batches, another learning rate in each.
template <class ArchRegularizer>
class Search {
 public:
  explicit Search(Supernet& supernet)
      : supernet_(supernet),
        weight_step_(prepared(supernet), {}),
        arch_step_(supernet, alphas(supernet), arch_options(), Softmax(), FirstOrder(), ArchRegularizer()) {}

  /// What the steps said, in order: results, gradients of alpha, alphas before the update.
  Tensors run() {
    Tensors said;
    const auto keep = [&](const Tensor& tensor) { said.push_back(tensor.detach().clone()); };
    for (std::int64_t epoch = 0; epoch < 6; ++epoch) {
      const double lr = 0.1 / static_cast<double>(1 + epoch);
      for (std::int64_t step = 0; step < 4; ++step) {
        const std::int64_t number = 10 * epoch + step;
        const DeviceBatch val = batch_of(step == 3 ? 5 : 8, 2 * number);
        const DeviceBatch train = batch_of(step == 3 ? 6 : 8, 2 * number + 1);
        arch_step_(val, train, weight_step_.optimizer(), {}, lr, epoch, keep,
                   [&](const Tensors& found, const Tensors& alphas) {
                     for (const Tensor& tensor : found) keep(tensor);
                     for (const Tensor& tensor : alphas) keep(tensor);
                   });
        weight_step_(train, op_weights(), lr, keep);
      }
      if (epoch == 3) {
        weight_step_.forget_graphs();
        arch_step_.forget_graphs();
      }
    }
    return said;
  }

  void step(const DeviceBatch& batch) {
    const auto ignore = [](auto&&...) {};
    arch_step_(batch, batch, weight_step_.optimizer(), {}, 0.1, 0, ignore, ignore);
    weight_step_(batch, op_weights(), 0.1, ignore);
  }

  [[nodiscard]] Tensors state() const {
    Tensors all = supernet_.parameters();
    for (const Tensors& more :
         {supernet_.buffers(), weight_step_.optimizer().momentum(), arch_step_.optimizer().alphas(),
          arch_step_.optimizer().first_moment(), arch_step_.optimizer().second_moment()}) {
      all.insert(all.end(), more.begin(), more.end());
    }
    return all;
  }
  [[nodiscard]] std::int64_t adam_steps() const { return arch_step_.optimizer().steps(); }

 private:
  static Supernet& prepared(Supernet& supernet) {
    initialise(supernet, 1);
    supernet.to(torch::kCUDA);
    return supernet;
  }
  static Tensors alphas(const Supernet& supernet) {
    Tensors leaves;
    for (const Tensor& alpha : initial_alphas(supernet.arch_shapes(), 1e-3, 1)) {
      leaves.push_back(alpha.detach().to(torch::kCUDA).requires_grad_());
    }
    return leaves;
  }
  static ArchOptions arch_options() {
    ArchOptions options;
    options.lr = 0.01;
    return options;
  }
  [[nodiscard]] Tensors op_weights() const {
    const torch::NoGradGuard no_grad;
    return arch_step_.op_weights();
  }

  Supernet& supernet_;
  WeightStep weight_step_;
  ArchStep<Softmax, FirstOrder, ArchRegularizer> arch_step_;
};

class RecordedSteps : public testing::OnGpu {
 protected:
  void SetUp() override {
    OnGpu::SetUp();
    at::globalContext().setAllowTF32CuDNN(false);
    at::globalContext().setAllowTF32CuBLAS(false);
    at::globalContext().setDeterministicCuDNN(true);
    at::globalContext().setBenchmarkCuDNN(false);
  }
  void TearDown() override { at::globalContext().setDeterministicCuDNN(false); }
};

template <class SupernetType, class ArchRegularizer>
void expect_the_steps_of_kernels() {
  const SupernetSpec spec{.channels = 4, .cells = 1};
  SupernetType recorded(spec);
  NotRecorded<SupernetType> eager(spec);
  Search<ArchRegularizer> ours(recorded), theirs(eager);
  const Tensor start = ours.state()[0].detach().clone();
  const Tensors expected = theirs.run();
  testing::expect_same_bits(ours.run(), expected);
  testing::expect_same_bits(ours.state(), theirs.state());
  EXPECT_EQ(ours.adam_steps(), theirs.adam_steps());
  EXPECT_EQ(ours.adam_steps(), 24);
  EXPECT_FALSE(torch::equal(ours.state()[0], start)) << "nothing was trained";
}

TEST_F(RecordedSteps, OfTheFusedSupernetAreThoseOfItsKernels) {
  expect_the_steps_of_kernels<FusedSupernet, NoArchRegularizer>();
}

TEST_F(RecordedSteps, LeaveTheRegulariserToFollow) {
  expect_the_steps_of_kernels<FusedSupernet, GrowingDecay>();
}

TEST_F(RecordedSteps, OfTheOracleAreThoseOfItsKernels) {
  expect_the_steps_of_kernels<OracleSupernet, NoArchRegularizer>();
}

TEST_F(RecordedSteps, GiveTheSameBitsInEveryRun) {
  for (const Precision precision : {Precision::fp32, Precision::bf16}) {
    const SupernetSpec spec{.channels = 8, .cells = 1};
    FusedSupernet once(spec, precision), again(spec, precision);
    Search<NoArchRegularizer> first(once), second(again);
    const Tensors expected = first.run();
    testing::expect_same_bits(second.run(), expected);
    testing::expect_same_bits(second.state(), first.state());
  }
}

TEST_F(RecordedSteps, NeverMakeTheHostWaitOnceRecorded) {
  FusedSupernet supernet({.channels = 4, .cells = 1});
  Search<NoArchRegularizer> search(supernet);
  const DeviceBatch batch = batch_of(8, 0);
  for (int i = 0; i < 2; ++i) search.step(batch);
  c10::cuda::warning_state().set_sync_debug_mode(c10::cuda::SyncDebugMode::L_ERROR);
  EXPECT_NO_THROW(search.step(batch));
  c10::cuda::warning_state().set_sync_debug_mode(c10::cuda::SyncDebugMode::L_DISABLED);
}

// LibTorch's allocator and autograd's thread are in use by others while a step is recorded.
TEST_F(RecordedSteps, LetOtherThreadsUseTheDeviceMeanwhile) {
  FusedSupernet supernet({.channels = 4, .cells = 1});
  Search<NoArchRegularizer> search(supernet);
  std::atomic<bool> done{false};
  std::exception_ptr failed;
  std::thread other([&] {
    try {
      for (std::int64_t size = 1; !done; size = size % 4096 + 1) {
        const Tensor x = torch::ones({size, 1024}, torch::kCUDA);
        EXPECT_EQ(x.sum().item<double>(), static_cast<double>(size) * 1024);
      }
    } catch (...) {
      failed = std::current_exception();
    }
  });
  for (std::int64_t size = 2; size < 10; ++size) {
    for (int i = 0; i < 3; ++i) search.step(batch_of(size, size));
  }
  torch::cuda::synchronize();
  done = true;
  other.join();
  EXPECT_FALSE(failed);
}

}  // namespace
}  // namespace flowdarts
