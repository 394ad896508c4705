// Batch norm with a clamp against plain loops in double, on every instruction set this CPU has.

#include <gtest/gtest.h>

#include <hwy/highway.h>
#include <bit>
#include <cmath>
#include <flowdarts/spaces/mixed_op/clamp_kernels.hpp>
#include <flowdarts/spaces/support/random.hpp>
#include <string>
#include <vector>

#include "../../instruction_sets.hpp"
#include "value_of.hpp"

namespace flowdarts::mixed_op {
namespace {

using testing::on_every_target;
using testing::value_of;

/// A number that T holds: of a few bits, so that nothing depends on how T rounds.
template <class T>
T exact(double x) {
  const auto coarse = static_cast<float>(std::round(x * 16) / 16);
  if constexpr (std::is_same_v<T, Bf16>) {
    return {static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(coarse) >> 16U)};
  } else {
    return coarse;
  }
}

/// More pixels and channels than a kernel is given: what lies around must stay as it is.
template <class T>
struct Matrix {
  std::int64_t stride;
  std::vector<T> data;

  Matrix(std::int64_t pixels, std::int64_t channels, std::uint64_t seed) : stride(channels + 3) {
    CounterRng rng(seed, Stream::weight_init, 0, 0, 0);
    for (std::int64_t i = 0; i < pixels * stride; ++i) data.push_back(exact<T>(4 * rng.normal()));
  }
  Rows<T> rows() { return {data.data() + 1, stride}; }
  [[nodiscard]] double at(std::int64_t p, std::int64_t c) const { return value_of(data[1 + p * stride + c]); }
};

/// Within the pixels and channels, expected(p, c); elsewhere, what `before` has.
template <class T, class F>
void expect_rows(const Matrix<T>& found, const Matrix<T>& before, PixelRange pixels, std::int64_t channels,
                 const F& expected) {
  const double relative = std::is_same_v<T, Bf16> ? 0x1p-8 : std::is_same_v<T, float> ? 1e-6 : 1e-14;
  for (std::int64_t p = 0; p < pixels.end + 2; ++p) {
    for (std::int64_t c = -1; c < channels + 2; ++c) {
      const bool written = p >= pixels.begin && p < pixels.end && c >= 0 && c < channels;
      const double value = written ? expected(p, c) : before.at(p, c);
      ASSERT_NEAR(found.at(p, c), value, written ? relative * std::abs(value) : 0.0) << p << ", " << c;
    }
  }
}

template <class T>
std::vector<Compute<T>> channel_numbers(std::int64_t channels, std::uint64_t seed) {
  CounterRng rng(seed, Stream::weight_init, 1, 0, 0);
  std::vector<Compute<T>> numbers;
  for (std::int64_t c = 0; c < channels; ++c)
    numbers.push_back(static_cast<Compute<T>>(value_of(exact<T>(rng.normal()))));
  return numbers;
}

template <class T>
class ClampKernels : public ::testing::Test {};
struct Names {
  template <class T>
  static std::string GetName(int) {
    return std::is_same_v<T, Bf16> ? "Bf16" : std::is_same_v<T, float> ? "float" : "double";
  }
};
using Types = ::testing::Types<float, double, Bf16>;
TYPED_TEST_SUITE(ClampKernels, Types, Names);

/// f(pixels, channels, clamp) for shapes of whole and broken vectors.
template <class F>
void for_shapes(const F& f) {
  for (const Clamp clamp : {relu6, Clamp{}, Clamp{.low = 0}}) {
    for (const std::int64_t channels : {1, 3, 16, 20, 33, 96}) {
      for (const std::int64_t count : {1, 6, 295}) f(PixelRange{3, 3 + count}, channels, clamp);
    }
  }
}

TYPED_TEST(ClampKernels, ScaleShiftAndClamp) {
  using T = TypeParam;
  on_every_target([] {
    for_shapes([](PixelRange pixels, std::int64_t channels, Clamp clamp) {
      Matrix<T> x(pixels.end + 2, channels, 1), out(pixels.end + 2, channels, 2);
      const Matrix<T> before = out;
      const auto scale = channel_numbers<T>(channels, 3), shift = channel_numbers<T>(channels, 4);
      scale_clamp<T>(x.rows(), scale.data(), shift.data(), clamp, pixels, channels, out.rows());
      expect_rows(out, before, pixels, channels, [&](std::int64_t p, std::int64_t c) {
        return std::min<double>(std::max<double>(scale[c] * x.at(p, c) + shift[c], clamp.low), clamp.high);
      });
    });
  });
}

TYPED_TEST(ClampKernels, DotsOfWhatTheClampLetsThrough) {
  using T = TypeParam;
  on_every_target([] {
    for_shapes([](PixelRange pixels, std::int64_t channels, Clamp clamp) {
      Matrix<T> g(pixels.end + 2, channels, 1), x(pixels.end + 2, channels, 2), passed(pixels.end + 2, channels, 3);
      const Matrix<T> before = passed;
      const auto scale = channel_numbers<T>(channels, 4), shift = channel_numbers<T>(channels, 5),
                 centre = channel_numbers<T>(channels, 6);
      std::vector<double> total(channels, 0.5), dots(channels, -2.0);  // sums are added to what is there
      clamp_dots<T>(g.rows(), x.rows(), scale.data(), shift.data(), centre.data(), clamp, pixels, channels,
                    passed.rows(), total.data(), dots.data());
      const auto through = [&](std::int64_t p, std::int64_t c) {
        const double y = scale[c] * x.at(p, c) + shift[c];  // exact: few bits
        return y > clamp.low && y < clamp.high ? g.at(p, c) : 0.0;
      };
      expect_rows(passed, before, pixels, channels, through);
      for (std::int64_t c = 0; c < channels; ++c) {
        double sum = 0.5, product = -2.0;
        for (std::int64_t p = pixels.begin; p < pixels.end; ++p) {
          sum += through(p, c);
          product += through(p, c) * (x.at(p, c) - centre[c]);
        }
        EXPECT_NEAR(total[c], sum, 1e-9) << c;
        EXPECT_NEAR(dots[c], product, 1e-3) << c;
      }
      // In the gradient's place.
      Matrix<T> in_place = g;
      clamp_dots<T>(in_place.rows(), x.rows(), scale.data(), shift.data(), centre.data(), clamp, pixels, channels,
                    in_place.rows(), total.data(), dots.data());
      expect_rows(in_place, g, pixels, channels, through);
    });
  });
}

// By hand: at 0 and at 6 ReLU6 passes no gradient, as LibTorch's.
TYPED_TEST(ClampKernels, TheEndsPassNothing) {
  using T = TypeParam;
  on_every_target([] {
    std::vector<T> x, g(5, exact<T>(1)), passed(5);
    for (const double value : {-1.0, 0.0, 3.0, 6.0, 7.0}) x.push_back(exact<T>(value));
    const Compute<T> one = 1, zero = 0;
    double total = 0, dot = 0;
    clamp_dots<T>({g.data(), 1}, {x.data(), 1}, &one, &zero, &one, relu6, {0, 5}, 1, {passed.data(), 1}, &total, &dot);
    EXPECT_EQ(total, 1.0);
    EXPECT_EQ(dot, 2.0);
  });
}

// A search that diverges must show it.
TYPED_TEST(ClampKernels, NanStaysNan) {
  using T = TypeParam;
  on_every_target([] {
    const std::vector<T> x(21, exact<T>(1));
    const std::vector<Compute<T>> scale(21, NAN), shift(21, 0);
    std::vector<T> out(21);
    scale_clamp<T>({x.data(), 21}, scale.data(), shift.data(), relu6, {0, 1}, 21, {out.data(), 21});
    for (const T value : out) EXPECT_TRUE(std::isnan(value_of(value)));
  });
}

}  // namespace
}  // namespace flowdarts::mixed_op
