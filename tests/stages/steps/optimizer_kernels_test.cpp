#include <gtest/gtest.h>

#include <hwy/highway.h>
#include <cmath>
#include <flowdarts/spaces/support/random.hpp>
#include <flowdarts/stages/arch_step/adam_kernels.hpp>
#include <flowdarts/stages/weight_step/sgd_kernels.hpp>
#include <limits>
#include <vector>

#include "../../instruction_sets.hpp"

namespace flowdarts::optimizer {
namespace {

constexpr std::int64_t sizes[] = {0, 1, 2, 3, 7, 8, 15, 16, 17, 31, 33, 63, 64, 65, 144, 1000};

using testing::on_every_target;

/// count numbers of N(0, 1); a guard behind them must not change.
template <class T>
std::vector<T> numbers(std::int64_t count, std::uint64_t seed) {
  CounterRng rng(seed, Stream::weight_init, 0, 0, 0);
  std::vector<T> values;
  for (std::int64_t i = 0; i < count; ++i) values.push_back(static_cast<T>(rng.normal()));
  values.push_back(T{77});
  return values;
}

/// Within a few roundings of T of the values, where terms are at most `scale`.
template <class T>
void expect_close(const std::vector<T>& found, const std::vector<double>& expected, double scale) {
  const double tolerance = 4 * scale * static_cast<double>(std::numeric_limits<T>::epsilon());
  ASSERT_EQ(found.size(), expected.size() + 1);
  for (std::size_t i = 0; i < expected.size(); ++i) {
    EXPECT_NEAR(static_cast<double>(found[i]), expected[i], tolerance) << "element " << i << " of " << expected.size();
  }
  EXPECT_EQ(found.back(), T{77});
}

template <class T>
class OptimizerKernels : public ::testing::Test {};
using Types = ::testing::Types<float, double>;
TYPED_TEST_SUITE(OptimizerKernels, Types);

TYPED_TEST(OptimizerKernels, SumOfSquaresIsThatOfDoubles) {
  on_every_target([&] {
    for (const std::int64_t count : sizes) {
      const auto x = numbers<TypeParam>(count, 1);
      long double expected = 0;
      for (std::int64_t i = 0; i < count; ++i) expected += static_cast<long double>(x[i]) * x[i];
      EXPECT_NEAR(sum_of_squares(x.data(), count), static_cast<double>(expected),
                  1e-14 * static_cast<double>(expected));
    }
  });
}

TEST(OptimizerKernels, SquaresOfFloatsNeitherOverflowNorVanish) {
  on_every_target([&] {
    EXPECT_DOUBLE_EQ(sum_of_squares(std::vector<float>(37, 0x1p100F).data(), 37), 37 * 0x1p200);
    EXPECT_DOUBLE_EQ(sum_of_squares(std::vector<float>(37, 0x1p-100F).data(), 37), 37 * 0x1p-200);
  });
}

TYPED_TEST(OptimizerKernels, SgdIsWhatItsDefinitionSays) {
  on_every_target([&] {
    for (const bool nesterov : {false, true}) {
      for (const bool with_gradient : {true, false}) {
        for (const std::int64_t count : sizes) {
          auto weight = numbers<TypeParam>(count, 1), velocity = numbers<TypeParam>(count, 2);
          const auto gradient = numbers<TypeParam>(count, 3);
          std::vector<double> expected_weight, expected_velocity;
          for (std::int64_t i = 0; i < count; ++i) {
            const double d = (with_gradient ? 0.25 * static_cast<double>(gradient[i]) : 0.0) + 0.01 * weight[i];
            const double v = 0.9 * velocity[i] + d;
            expected_velocity.push_back(v);
            expected_weight.push_back(weight[i] - 0.1 * (nesterov ? d + 0.9 * v : v));
          }
          sgd_update(weight.data(), velocity.data(), with_gradient ? gradient.data() : nullptr, count,
                     {.gradient_scale = 0.25, .weight_decay = 0.01, .momentum = 0.9, .lr = 0.1, .nesterov = nesterov});
          expect_close(velocity, expected_velocity, 5.0);
          expect_close(weight, expected_weight, 5.0);
        }
      }
    }
  });
}

TYPED_TEST(OptimizerKernels, SgdMayReadItsGradientFromTheWeight) {
  on_every_target([&] {
    auto weight = numbers<TypeParam>(100, 1), velocity = std::vector<TypeParam>(101, 0);
    const auto before = weight;
    sgd_update(weight.data(), velocity.data(), weight.data(), 100, {.lr = 0.5});
    for (std::size_t i = 0; i < 100; ++i) EXPECT_EQ(weight[i], before[i] / 2);
  });
}

TYPED_TEST(OptimizerKernels, AdamIsWhatItsDefinitionSays) {
  on_every_target([&] {
    for (const std::int64_t count : sizes) {
      auto weight = numbers<TypeParam>(count, 1), first = numbers<TypeParam>(count, 2);
      auto second = numbers<TypeParam>(count, 3);
      for (std::int64_t i = 0; i < count; ++i) second[i] *= second[i];
      const auto gradient = numbers<TypeParam>(count, 4);
      std::vector<double> expected_weight, expected_first, expected_second;
      double largest = 0.0;
      for (std::int64_t i = 0; i < count; ++i) {
        const double d = gradient[i] + 0.01 * weight[i];
        const double m = 0.5 * first[i] + 0.5 * d;
        const double v = 0.9 * second[i] + 0.1 * d * d;
        const double step = 0.1 * m / (std::sqrt(v) / 0.3 + 1e-3);
        largest = std::max(largest, std::abs(step));
        expected_first.push_back(m);
        expected_second.push_back(v);
        expected_weight.push_back(weight[i] - step);
      }
      adam_update(
          weight.data(), first.data(), second.data(), gradient.data(), count,
          {.weight_decay = 0.01, .beta1 = 0.5, .beta2 = 0.9, .step_size = 0.1, .root_correction2 = 0.3, .eps = 1e-3});
      expect_close(first, expected_first, 5.0);
      expect_close(second, expected_second, 10.0);
      expect_close(weight, expected_weight, 5.0 + largest);
    }
  });
}

}  // namespace
}  // namespace flowdarts::optimizer
