// The pools on a GPU against LibTorch's on a CPU, in double from the same numbers.

#include <flowdarts/spaces/mixed_op/pool.hpp>

#include <cmath>

#include "on_gpu.hpp"

namespace flowdarts {
namespace {

using testing::expect_close;
using torch::Tensor;
using Tensors = std::vector<Tensor>;

struct Case {
  std::vector<std::int64_t> sizes;
  PoolOptions options;
};

std::vector<Case> cases() {
  return {
      {{2, 16, 8, 8}, {}},
      {{2, 16, 9, 7}, {.stride = 2}},
      {{3, 5, 7, 9}, {}},
      {{2, 8, 6, 6}, {.kernel = 2, .stride = 2, .padding = 0}},
      {{2, 8, 9, 9}, {.kernel = 2, .stride = 3, .padding = 1}},
      {{2, 8, 11, 8}, {.kernel = 5, .stride = 1, .padding = 2}},
      {{1, 24, 10, 10}, {.kernel = 8, .stride = 3, .padding = 4}},
      {{2, 4, 1, 1}, {}},
      {{2, 1, 5, 5}, {}},
      {{2, 8, 5, 5}, {.kernel = 1, .stride = 1, .padding = 0}},
      {{2, 1040, 3, 3}, {}},
      {{8, 16, 64, 60}, {}},
      {{0, 8, 6, 6}, {}},
  };
}

template <class F>
Tensors with_gradient(const F& pool, const Tensor& x) {
  const Tensor leaf = x.detach().requires_grad_();
  const Tensor out = pool(leaf);
  // The same numbers in both types: small integers over eight.
  const Tensor g =
      (torch::arange(out.numel()).remainder(31) - 15).div(8).view(out.sizes()).to(x.device(), x.scalar_type());
  return {torch::autograd::grad({out}, {leaf}, {g})[0], out.detach()};
}

template <class F, class G>
void expect_agreement(const F& ours, const G& libtorchs) {
  for (const Case& c : cases()) {
    for (const at::ScalarType type : {torch::kDouble, torch::kFloat, torch::kBFloat16}) {
      SCOPED_TRACE(c10::str(c.sizes, " kernel ", c.options.kernel, " ", type));
      const Tensor x = testing::random_images(c.sizes, type);
      const Tensors exact = with_gradient([&](const Tensor& input) { return libtorchs(input, c.options); }, x);
      const auto run = [&] {
        return with_gradient([&](const Tensor& input) { return ours(input, c.options); }, x.to(torch::kCUDA, type));
      };
      const Tensors found = run();
      EXPECT_TRUE(found[1].is_contiguous(torch::MemoryFormat::ChannelsLast));
      expect_close(found, exact, testing::tolerance_of(type));
      testing::expect_same_bits(run(), found);
    }
  }
}

class PoolOnGpu : public testing::OnGpu {};

TEST_F(PoolOnGpu, AverageAgreesWithLibTorch) {
  expect_agreement([](const Tensor& x, const PoolOptions& o) { return average_pool2d(x, o); },
                   [](const Tensor& x, const PoolOptions& o) {
                     return torch::avg_pool2d(x, o.kernel, o.stride, o.padding, /*ceil_mode=*/false,
                                              /*count_include_pad=*/false);
                   });
}

TEST_F(PoolOnGpu, MaximumAgreesWithLibTorch) {
  expect_agreement(
      [](const Tensor& x, const PoolOptions& o) { return max_pool2d(x, o); },
      [](const Tensor& x, const PoolOptions& o) { return torch::max_pool2d(x, o.kernel, o.stride, o.padding); });
}

TEST_F(PoolOnGpu, MaximumTakesTheFirstOfEqualsAndPassesNaNAndInfinityThrough) {
  Tensor x = torch::randint(0, 3, {2, 8, 9, 7}, torch::kDouble);
  x[0][1][4][4] = std::nan("");
  x[0][1][4][5] = std::nan("");
  x[1][2].fill_(-INFINITY);
  const Tensors exact = with_gradient([](const Tensor& input) { return torch::max_pool2d(input, 3, 1, 1); }, x);
  const Tensors found = with_gradient([](const Tensor& input) { return max_pool2d(input); }, x.to(torch::kCUDA));
  EXPECT_TRUE(torch::equal(found[0].cpu(), exact[0]));
  EXPECT_TRUE(torch::equal(found[1].cpu().nan_to_num(7), exact[1].nan_to_num(7)));
}

}  // namespace
}  // namespace flowdarts
