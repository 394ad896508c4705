// Whole steps on a GPU: what reaches the host is that of a CPU, and the host waits for none of it.

#include <gtest/gtest.h>

#include <chrono>
#include <flowdarts/pipeline/tensor_state.hpp>
#include <flowdarts/policies/arch_regularizer/none.hpp>
#include <flowdarts/policies/bilevel/first_order.hpp>
#include <flowdarts/policies/bilevel/second_order.hpp>
#include <flowdarts/policies/relaxation/softmax.hpp>
#include <flowdarts/spaces/initialise.hpp>
#include <flowdarts/spaces/nas_bench_201/supernet.hpp>
#include <flowdarts/stages/arch_step/arch_step.hpp>
#include <flowdarts/stages/load/batch_loader.hpp>
#include <flowdarts/stages/load/pinned_memory.hpp>
#include <flowdarts/stages/load/resident_dataset.hpp>
#include <flowdarts/stages/weight_step/weight_step.hpp>
#include <memory>
#include <optional>
#include <vector>

#include "../no_synchronisation.hpp"
#include "../stages/load/memory_images.hpp"

namespace flowdarts {
namespace {

constexpr std::int64_t batch_size = 16;

/// The steps of a search without its graph.
template <class Bilevel>
class Stepper {
 public:
  Stepper(const torch::Device& device, bool resident) : device_(device) {
    if (resident) resident_.emplace(*dataset_, loader_.augmentation(), device, torch::kFloat);
    initialise(supernet_, 1);
    supernet_.to(device);
    to_channels_last(supernet_);
    weight_step_.emplace(supernet_, options_);
    std::vector<torch::Tensor> alphas;
    for (const torch::Tensor& alpha : initial_alphas(supernet_.arch_shapes(), 1e-3, 1)) {
      alphas.push_back(alpha.detach().to(device).requires_grad_());
    }
    arch_step_.emplace(supernet_, std::move(alphas), ArchOptions{}, Softmax(), Bilevel(), NoArchRegularizer());
  }

  /// An arch step and a weight step.
  void step(std::int64_t number) {
    const auto keep = [&](const torch::Tensor& packed) { results_.push_back(copy_to_host(packed)); };
    const DeviceBatch train = batch(Split::train, number), val = batch(Split::val, number);
    (*arch_step_)(val, train, weight_step_->optimizer(), options_, 0.025, 0, keep, [](const auto&) {});
    std::vector<torch::Tensor> op_weights;
    {
      const torch::NoGradGuard no_grad;
      op_weights = arch_step_->op_weights();
    }
    (*weight_step_)(train, op_weights, 0.025, keep);
  }

  /// Of all forward passes so far, in order.
  [[nodiscard]] const std::vector<std::shared_ptr<const DeviceResults>>& results() const { return results_; }

 private:
  [[nodiscard]] DeviceBatch batch(Split split, std::int64_t number) const {
    BatchPlan plan{.split = split};
    for (std::int64_t i = 0; i < batch_size; ++i) plan.ids.push_back((number * batch_size + i) % dataset_->size());
    return resident_ ? resident_->augment(loader_.load_crops(plan)) : to_device(loader_.load(plan), device_);
  }

  torch::Device device_;
  std::shared_ptr<const Dataset> dataset_ = testing::random_images(100, 16);
  PinnedMemory pinned_;
  BatchLoader loader_{dataset_, {}, 42, {}, device_.is_cuda() ? &pinned_ : std::pmr::new_delete_resource()};
  std::optional<ResidentDataset> resident_;
  nas_bench_201::OracleSupernet supernet_{{.channels = 4, .cells = 1, .classes = 3}};
  WeightOptions options_;
  std::optional<WeightStep> weight_step_;
  std::optional<ArchStep<Softmax, Bilevel, NoArchRegularizer>> arch_step_;
  std::vector<std::shared_ptr<const DeviceResults>> results_;
};

TEST(Steps, DoNotDependOnWhereImagesAreAugmented) {
  Stepper<FirstOrder> from_crops(torch::kCPU, true), from_pixels(torch::kCPU, false);
  for (std::int64_t i = 0; i < 3; ++i) {
    from_crops.step(i);
    from_pixels.step(i);
  }
  for (std::size_t i = 0; i < 6; ++i) {
    EXPECT_EQ(from_crops.results().at(i)->loss(), from_pixels.results().at(i)->loss()) << i;
  }
}

template <class Bilevel>
void expect_results_of_the_cpu_without_waiting() {
  constexpr std::int64_t steps = 6;
  Stepper<Bilevel> on_cpu(torch::kCPU, false);
  for (std::int64_t i = 0; i < steps; ++i) on_cpu.step(i);
  for (const bool resident : {true, false}) {
    SCOPED_TRACE(resident ? "images on the GPU" : "images from the CPU");
    Stepper<Bilevel> on_gpu(torch::kCUDA, resident);
    on_gpu.step(0);  // makes handles and finds algorithms
    {
      const testing::NoSynchronisation none;
      for (std::int64_t i = 1; i < steps; ++i) on_gpu.step(i);
    }
    ASSERT_EQ(on_gpu.results().size(), on_cpu.results().size());
    for (std::size_t i = 0; i < on_gpu.results().size(); ++i) {
      SCOPED_TRACE(i);
      const DeviceResults &gpu = *on_gpu.results()[i], &cpu = *on_cpu.results()[i];
      // Convolutions may run in TF32, whose rounding the updates carry on.
      EXPECT_NEAR(gpu.loss(), cpu.loss(), 0.02);
      ASSERT_EQ(gpu.errors().size(), static_cast<std::size_t>(batch_size));
      EXPECT_FALSE(is_pending(gpu));
      for (std::size_t k = 0; k < gpu.errors().size(); ++k) EXPECT_NEAR(gpu.errors()[k], cpu.errors()[k], 0.05);
    }
  }
}

TEST(StepsOnGpu, OfFirstOrderWaitForNothing) {
  if (!torch::cuda::is_available()) GTEST_SKIP() << "no GPU in this machine";
  expect_results_of_the_cpu_without_waiting<FirstOrder>();
}

TEST(StepsOnGpu, OfSecondOrderWaitForNothing) {
  if (!torch::cuda::is_available()) GTEST_SKIP() << "no GPU in this machine";
  expect_results_of_the_cpu_without_waiting<SecondOrder>();
}

// The host is long done with issuing what the marks enclose.
TEST(StepsOnGpu, MarksTellTheDevicesTime) {
  if (!torch::cuda::is_available()) GTEST_SKIP() << "no GPU in this machine";
  const torch::Tensor factor = torch::randn({4096, 4096}, torch::kCUDA);
  torch::Tensor product = factor.mm(factor);
  torch::cuda::synchronize();
  const auto begun = mark_work(torch::kCUDA);
  for (int i = 0; i < 50; ++i) product = factor.mm(factor);
  const auto done = mark_work(torch::kCUDA), same = mark_work(torch::kCUDA);
  const auto start = std::chrono::steady_clock::now();
  const double seconds = done->since(*begun);
  const double waited = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  // 7 TFLOP; no GPU does 10^16 a second.
  EXPECT_GT(seconds, 7e-4);
  EXPECT_LT(waited, seconds + 1.0);
  EXPECT_LT(same->since(*done), seconds);
}

}  // namespace
}  // namespace flowdarts
