// The fused supernets that are composed of single operators on a GPU, against the oracles on a CPU in double.

#include <algorithm>
#include <array>
#include <flowdarts/spaces/darts/supernet.hpp>
#include <flowdarts/spaces/mobilenet/supernet.hpp>
#include <functional>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "agreement.hpp"
#include "mixed_op/on_gpu.hpp"
#include "nas_bench_201/golden_fill.hpp"

namespace flowdarts {
namespace {

using testing::golden;
using testing::golden_fill;
using testing::largest;
using torch::Tensor;

struct Case {
  std::string name;
  std::function<std::shared_ptr<Supernet>()> oracle;
  std::function<std::shared_ptr<Supernet>(Precision)> fused;
  std::int64_t side = 16;
};

template <class Oracle, class Fused, class Spec>
Case case_of(std::string name, const Spec& spec, std::int64_t side) {
  return {std::move(name), [spec] { return std::make_shared<Oracle>(spec); },
          [spec](Precision precision) { return std::make_shared<Fused>(spec, precision); }, side};
}

std::vector<Case> cases() {
  std::vector<Case> all;
  const auto add_darts = [&](std::string name, const darts::SupernetSpec& spec) {
    all.push_back(case_of<darts::OracleSupernet, darts::FusedSupernet>(std::move(name), spec, 16));
  };
  add_darts("Darts", {.channels = 4, .cells = 3, .nodes = 2});
  add_darts("DartsWholeVectors", {.channels = 16, .cells = 3, .nodes = 4});
  add_darts("PcDarts", {.channels = 8, .cells = 3, .nodes = 2, .partial = 4, .edge_weights = true});
  add_darts("IsDarts",
            {.channels = 4, .cells = 3, .nodes = 2, .pool_norm = false, .conv_bias = true, .last_norm = true});
  all.push_back(case_of<mobilenet::OracleSupernet, mobilenet::FusedSupernet>(
      "MobileNet",
      mobilenet::SupernetSpec{
          .widths = {.stem = 4, .stages = {2, 2, 3, 4, 4, 5, 6}, .head = 8}, .classes = 10, .stem_stride = 1},
      32));
  return all;
}

/// What a pass gives, in double on the CPU.
struct Pass {
  Tensor logits;
  std::vector<Tensor> gradients, buffers;  // of op weights, then of w
};

/// A pass over some copies of three images, with numbers that `numbers` holds exactly, computed in `type`.
Pass run(Supernet& supernet, const Case& c, torch::Device device, at::ScalarType type, at::ScalarType numbers,
         std::int64_t copies = 1) {
  golden_fill(supernet);
  supernet.to(numbers);
  supernet.to(device, type);
  const auto values = [&](const Tensor& exact) { return exact.to(numbers).to(device, type); };
  std::vector<Tensor> inputs;
  for (const ArchShape& shape : supernet.arch_shapes()) {
    const auto offset = static_cast<std::uint32_t>(1000 * inputs.size());
    const Tensor weights = competing_softmax(golden({shape.rows, shape.columns}, 0.5, 0.0, offset), shape);
    inputs.push_back(values(weights).requires_grad_());
  }
  const Tensor images = values(golden({3, 3, c.side, c.side}).repeat({copies, 1, 1, 1}));
  const Tensor logits = supernet.forward(images.contiguous(torch::MemoryFormat::ChannelsLast), inputs);
  const Tensor labels = torch::arange(3, torch::kInt64).repeat({copies}).to(device);
  for (const Tensor& own : supernet.parameters()) inputs.push_back(own);
  auto gradients = torch::autograd::grad({torch::cross_entropy_loss(logits, labels)}, inputs, {}, false, false,
                                         /*allow_unused=*/true);
  const auto to_host = [](const Tensor& tensor) { return tensor.detach().to(torch::kCPU, torch::kDouble); };
  Pass pass{.logits = to_host(logits), .gradients = {}, .buffers = {}};
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    pass.gradients.push_back(to_host(gradients[i].defined() ? gradients[i] : torch::zeros_like(inputs[i])));
  }
  for (const Tensor& buffer : supernet.buffers()) pass.buffers.push_back(to_host(buffer));
  return pass;
}

/// Gradients: relative to the largest element of all.
void expect_close(const Pass& actual, const Pass& expected, double logits, double gradients) {
  EXPECT_LE(largest(actual.logits - expected.logits), logits * largest(expected.logits));
  double scale = 0;
  for (const Tensor& gradient : expected.gradients) scale = std::max(scale, largest(gradient));
  ASSERT_EQ(actual.gradients.size(), expected.gradients.size());
  for (std::size_t i = 0; i < expected.gradients.size(); ++i) {
    EXPECT_LE(largest(actual.gradients[i] - expected.gradients[i]), gradients * scale) << "gradient " << i;
  }
  ASSERT_EQ(actual.buffers.size(), expected.buffers.size());
  for (std::size_t i = 0; i < expected.buffers.size(); ++i) {
    EXPECT_LE(largest(actual.buffers[i] - expected.buffers[i]), logits * std::max(0.1, largest(expected.buffers[i])))
        << "buffer " << i;
  }
}

class ComposedOnGpu : public testing::OnGpu {
 protected:
  void SetUp() override {
    OnGpu::SetUp();
    at::globalContext().setAllowTF32CuDNN(false);
    at::globalContext().setAllowTF32CuBLAS(false);
  }
};

// In float a ReLU input of 0 to rounding has either sign, and gradients change by up to some 1e-3 with each.
constexpr std::array<std::tuple<at::ScalarType, double, double>, 2> precisions{
    {{torch::kDouble, 1e-10, 1e-10}, {torch::kFloat, 1e-3, 3e-2}}};

TEST_F(ComposedOnGpu, AgreesWithTheOracle) {
  for (const Case& c : cases()) {
    for (const auto& [type, logits, gradients] : precisions) {
      SCOPED_TRACE(c.name + " " + c10::toString(type));
      expect_close(run(*c.fused(Precision::fp32), c, torch::kCUDA, type, type),
                   run(*c.oracle(), c, torch::kCPU, torch::kDouble, type), logits, gradients);
    }
  }
}

TEST_F(ComposedOnGpu, SharesItsStatisticsWithAnotherProcess) {
  for (const Case& c : cases()) {
    for (const auto& [type, logits, gradients] : precisions) {
      SCOPED_TRACE(c.name + " " + c10::toString(type));
      // The mean loss of two equal shares is that of one, and so are its gradients.
      Pass expected = run(*c.oracle(), c, torch::kCPU, torch::kDouble, type, 2);
      expected.logits = expected.logits.chunk(2)[0];
      const std::shared_ptr<Supernet> fused = c.fused(Precision::fp32);
      const auto sum = std::make_shared<testing::SumWithTwin>();
      fused->share_statistics(sum);
      expect_close(run(*fused, c, torch::kCUDA, type, type), expected, logits, gradients);
      EXPECT_GT(sum->messages(), 0);
    }
  }
}

TEST_F(ComposedOnGpu, GivesTheSameBitsInEveryRunWhereConvolutionsDo) {
  at::globalContext().setDeterministicCuDNN(true);
  at::globalContext().setBenchmarkCuDNN(false);
  for (const Case& c : cases()) {
    for (const Precision precision : {Precision::fp32, Precision::bf16}) {
      SCOPED_TRACE(c.name);
      const Pass first = run(*c.fused(precision), c, torch::kCUDA, torch::kFloat, torch::kFloat);
      const Pass again = run(*c.fused(precision), c, torch::kCUDA, torch::kFloat, torch::kFloat);
      EXPECT_TRUE(torch::equal(again.logits, first.logits));
      testing::expect_same_bits(again.gradients, first.gradients);
      testing::expect_same_bits(again.buffers, first.buffers);
    }
  }
  at::globalContext().setDeterministicCuDNN(false);
}

}  // namespace
}  // namespace flowdarts
