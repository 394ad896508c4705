// The kernels of 1x1 convolutions against plain loops in double.

#include <gtest/gtest.h>
#include <hwy/targets.h>

#include <bit>
#include <cmath>
#include <flowdarts/spaces/mixed_op/conv1x1_kernels.hpp>
#include <vector>

#include "../../instruction_sets.hpp"
#include "../golden_values.hpp"
#include "value_of.hpp"

namespace flowdarts::mixed_op {
namespace {

using flowdarts::testing::golden_values;
using flowdarts::testing::value_of;

template <class T>
std::vector<T> numbers(std::int64_t count, std::uint32_t offset) {
  std::vector<T> values;
  for (const double value : golden_values(static_cast<std::size_t>(count), 1.0, offset)) {
    if constexpr (std::is_same_v<T, Bf16>) {
      values.push_back({static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(static_cast<float>(value)) >> 16U)});
    } else {
      values.push_back(static_cast<T>(value));
    }
  }
  return values;
}

struct Sizes {
  std::int64_t pixels, in, out;
};

template <class T>
class Pointwise : public ::testing::Test {};
using Types = ::testing::Types<float, double, Bf16>;
TYPED_TEST_SUITE(Pointwise, Types);

TYPED_TEST(Pointwise, MatchesPlainLoopsOnEveryInstructionSet) {
  using T = TypeParam;
  using A = Compute<T>;
  const double tolerance = std::is_same_v<T, double> ? 1e-13 : std::is_same_v<T, float> ? 1e-5 : 2e-2;
  for (const Sizes& s : {Sizes{1, 1, 1}, {7, 3, 5}, {8, 16, 16}, {130, 17, 33}, {600, 9, 31}, {70, 64, 64}}) {
    const auto x = numbers<T>(s.pixels * s.in, 0), g = numbers<T>(s.pixels * s.out, 500);
    const auto weight = numbers<A>(s.in * s.out, 1000), bias = numbers<A>(s.out, 1500);
    flowdarts::testing::on_every_target([&] {
      for (const bool biased : {false, true}) {
        std::vector<T> y(static_cast<std::size_t>(s.pixels * s.out));
        pointwise<T>(x.data(), weight.data(), biased ? bias.data() : nullptr, s.pixels, s.in, s.out, y.data());
        for (std::int64_t p = 0; p < s.pixels; ++p) {
          for (std::int64_t o = 0; o < s.out; ++o) {
            double sum = biased ? bias[o] : 0.0;
            for (std::int64_t i = 0; i < s.in; ++i) sum += value_of(x[p * s.in + i]) * weight[i * s.out + o];
            ASSERT_NEAR(value_of(y[p * s.out + o]), sum, tolerance * static_cast<double>(s.in)) << p << ", " << o;
          }
        }
      }
      std::vector<double> dweight(static_cast<std::size_t>(s.in * s.out), 1.0);
      pointwise_weight_gradient<T>(x.data(), g.data(), s.pixels, s.in, s.out, dweight.data());
      const double exact = std::is_same_v<T, double> ? 1e-12 : 1e-5;
      for (std::int64_t i = 0; i < s.in; ++i) {
        for (std::int64_t o = 0; o < s.out; ++o) {
          double sum = 1.0;
          for (std::int64_t p = 0; p < s.pixels; ++p) sum += value_of(x[p * s.in + i]) * value_of(g[p * s.out + o]);
          ASSERT_NEAR(dweight[i * s.out + o], sum, exact * std::sqrt(static_cast<double>(s.pixels))) << i << ", " << o;
        }
      }
    });
  }
}

}  // namespace
}  // namespace flowdarts::mixed_op
