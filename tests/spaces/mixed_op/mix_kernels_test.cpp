// The kernels of a mix against plain loops in double, on every instruction set this CPU has.

#include <gtest/gtest.h>

#include <hwy/highway.h>
#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <flowdarts/spaces/mixed_op/mix_kernels.hpp>
#include <flowdarts/spaces/support/random.hpp>
#include <limits>
#include <vector>

#include "../../instruction_sets.hpp"
#include "value_of.hpp"

namespace flowdarts::mixed_op {
namespace {

using testing::on_every_target;
using testing::value_of;

/// The nearest number of T; of two, the one whose last bit is 0.
template <class T>
T rounded(double x) {
  if constexpr (std::is_same_v<T, Bf16>) {
    const Bf16 below{static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(static_cast<float>(x)) >> 16U)};
    const Bf16 above{static_cast<std::uint16_t>(below.bits + 1U)};
    const double middle = (value_of(below) + value_of(above)) / 2;
    if (std::abs(x) == std::abs(middle)) return below.bits % 2 == 0 ? below : above;
    return std::abs(x) < std::abs(middle) ? below : above;
  } else {
    return static_cast<T>(x);
  }
}

/// What one result may differ by: its own rounding to T, and sums in Compute<T> of terms of about 1.
template <class T>
double tolerance(double expected) {
  if (std::is_same_v<T, Bf16>) return 0x1p-8 * std::abs(expected) + 1e-5;
  return std::is_same_v<T, float> ? 1e-5 : 1e-13;
}

/// More pixels and channels than a kernel is given, all N(0, 1): what lies around must stay as it is.
template <class T>
struct Matrix {
  std::int64_t stride;
  std::vector<T> data;

  Matrix(std::int64_t pixels, std::int64_t channels, std::uint64_t seed) : stride(channels + 3) {
    CounterRng rng(seed, Stream::weight_init, 0, 0, 0);
    for (std::int64_t i = 0; i < pixels * stride; ++i) data.push_back(rounded<T>(rng.normal()));
  }
  [[nodiscard]] Rows<const T> rows() const { return {data.data() + 1, stride}; }
  Rows<T> rows() { return {data.data() + 1, stride}; }
  [[nodiscard]] double at(std::int64_t p, std::int64_t c) const { return value_of(data[1 + p * stride + c]); }
};

struct Shape {
  std::int64_t channels;
  PixelRange pixels;
  [[nodiscard]] std::int64_t all_pixels() const { return pixels.end + 2; }
};

std::vector<Shape> shapes() {
  std::vector<Shape> all;
  for (const std::int64_t channels : {1, 3, 16, 20, 33, 96}) {
    for (const std::int64_t count : {1, 6, 295}) all.push_back({channels, {3, 3 + count}});
  }
  return all;
}

/// Within `shape`, expected(p, c); elsewhere, what `before` has.
template <class T, class F>
void expect_rows(const Matrix<T>& found, const Matrix<T>& before, const Shape& shape, const F& expected) {
  for (std::int64_t p = 0; p < shape.all_pixels(); ++p) {
    for (std::int64_t c = -1; c < shape.channels + 2; ++c) {
      const bool written = p >= shape.pixels.begin && p < shape.pixels.end && c >= 0 && c < shape.channels;
      if (!written) {
        ASSERT_EQ(found.at(p, c), before.at(p, c)) << "pixel " << p << ", channel " << c;
      } else {
        const double value = expected(p, c);
        ASSERT_NEAR(found.at(p, c), value, tolerance<T>(value)) << "pixel " << p << ", channel " << c;
      }
    }
  }
}

template <class T>
std::vector<Compute<T>> channel_numbers(std::int64_t channels, std::uint64_t seed) {
  CounterRng rng(seed, Stream::weight_init, 1, 0, 0);
  std::vector<Compute<T>> numbers;
  for (std::int64_t c = 0; c < channels; ++c) numbers.push_back(static_cast<Compute<T>>(rng.normal()));
  return numbers;
}

/// Sums of the kernels: in double but for blocks of pixels, which are summed in Compute<T>.
template <class T>
constexpr double sum_tolerance = std::is_same_v<T, double> ? 1e-12 : 1e-4;

template <class T>
class MixKernels : public ::testing::Test {};
struct Names {
  template <class T>
  static std::string GetName(int) {
    return std::is_same_v<T, Bf16> ? "Bf16" : std::is_same_v<T, float> ? "float" : "double";
  }
};
using Types = ::testing::Types<float, double, Bf16>;
TYPED_TEST_SUITE(MixKernels, Types, Names);

TYPED_TEST(MixKernels, MomentsAreThoseOfTwoPasses) {
  using T = TypeParam;
  on_every_target([] {
    for (const Shape& shape : shapes()) {
      SCOPED_TRACE(std::to_string(shape.channels) + " channels");
      const Matrix<T> x(shape.all_pixels(), shape.channels, 1);
      const Matrix<T> before(shape.all_pixels(), shape.channels, 2);
      Matrix<T> copy = before;
      std::vector<double> mean(shape.channels + 1, 77.0), squares(mean);
      moments<T>(x.rows(), shape.pixels, shape.channels, mean.data(), squares.data(), copy.rows());
      std::vector<double> mean_alone(mean.size(), 77.0), squares_alone(mean_alone);
      moments<T>(x.rows(), shape.pixels, shape.channels, mean_alone.data(), squares_alone.data(), {});
      EXPECT_EQ(mean_alone, mean);
      EXPECT_EQ(squares_alone, squares);
      const auto count = static_cast<double>(shape.pixels.end - shape.pixels.begin);
      for (std::int64_t c = 0; c < shape.channels; ++c) {
        double sum = 0, deviations = 0;
        for (std::int64_t p = shape.pixels.begin; p < shape.pixels.end; ++p) sum += x.at(p, c);
        for (std::int64_t p = shape.pixels.begin; p < shape.pixels.end; ++p) {
          deviations += std::pow(x.at(p, c) - sum / count, 2);
        }
        ASSERT_NEAR(mean[c], sum / count, sum_tolerance<T> / 10) << c;
        ASSERT_NEAR(squares[c], deviations, sum_tolerance<T> * (1 + deviations)) << c;
      }
      EXPECT_EQ(mean.back(), 77.0);
      EXPECT_EQ(squares.back(), 77.0);
      expect_rows(copy, before, shape, [&](std::int64_t p, std::int64_t c) { return x.at(p, c); });
    }
  });
}

TYPED_TEST(MixKernels, WeightedSumIsWhatItsDefinitionSays) {
  using T = TypeParam;
  struct Parts {
    std::size_t terms, gated;
    bool shift, sum, rectified;
  };
  constexpr std::array<Parts, 6> all_parts{{{4, 2, true, true, true},
                                            {1, 0, false, true, false},
                                            {2, 1, false, false, true},
                                            {0, 2, false, true, true},
                                            {0, 0, true, true, false},
                                            {3, 0, true, false, true}}};
  on_every_target([&] {
    for (const Shape& shape : shapes()) {
      for (const Parts& parts : all_parts) {
        SCOPED_TRACE(std::to_string(shape.channels) + " channels, " + std::to_string(parts.terms) + " terms");
        std::vector<Matrix<T>> inputs;
        std::vector<std::vector<Compute<T>>> scales;
        for (std::uint64_t i = 0; i < 6; ++i) {
          inputs.emplace_back(shape.all_pixels(), shape.channels, i);
          scales.push_back(channel_numbers<T>(shape.channels, i));
        }
        const auto shift = channel_numbers<T>(shape.channels, 9);
        const Matrix<T> gate(shape.all_pixels(), shape.channels, 10);
        std::vector<ScaledTerm<T>> terms;
        std::vector<Rows<const T>> gated;
        for (std::size_t i = 0; i < parts.terms; ++i)
          terms.push_back({std::as_const(inputs[i]).rows(), scales[i].data()});
        for (std::size_t i = 0; i < parts.gated; ++i) gated.push_back(std::as_const(inputs[4 + i]).rows());
        const Matrix<T> before(shape.all_pixels(), shape.channels, 11);
        Matrix<T> sum = before, rectified = before;
        weighted_sum<T>(terms, parts.shift ? shift.data() : nullptr, gated,
                        parts.gated > 0 ? gate.rows() : Rows<const T>(), shape.pixels, shape.channels,
                        parts.sum ? sum.rows() : Rows<T>(), parts.rectified ? rectified.rows() : Rows<T>());
        const auto expected = [&](std::int64_t p, std::int64_t c) {
          double value = parts.shift ? shift[c] : 0.0;
          for (std::size_t i = 0; i < parts.terms; ++i) value += inputs[i].at(p, c) * scales[i][c];
          for (std::size_t i = 0; i < parts.gated && gate.at(p, c) > 0; ++i) value += inputs[4 + i].at(p, c);
          return value;
        };
        const Shape nothing{shape.channels, {shape.pixels.end, shape.pixels.end}};
        expect_rows(sum, before, parts.sum ? shape : nothing, expected);
        expect_rows(rectified, before, parts.rectified ? shape : nothing,
                    [&](std::int64_t p, std::int64_t c) { return std::max(expected(p, c), 0.0); });
        if (this->HasFatalFailure()) return;
      }
    }
  });
}

TYPED_TEST(MixKernels, DotsAreWhatTheirDefinitionSays) {
  using T = TypeParam;
  on_every_target([&] {
    for (const Shape& shape : shapes()) {
      for (const std::size_t count : {0, 1, 3}) {
        for (const bool with_gate : {false, true}) {
          SCOPED_TRACE(std::to_string(shape.channels) + " channels, " + std::to_string(count) + " terms");
          std::vector<Matrix<T>> inputs;
          for (std::uint64_t i = 0; i < 3; ++i) inputs.emplace_back(shape.all_pixels(), shape.channels, i);
          const auto centre = channel_numbers<T>(shape.channels, 9);
          const Matrix<T> g(shape.all_pixels(), shape.channels, 10), gate(shape.all_pixels(), shape.channels, 11);
          std::vector<CentredTerm<T>> terms;
          for (std::size_t i = 0; i < count; ++i) {
            terms.push_back({std::as_const(inputs[i]).rows(), i % 2 == 0 ? centre.data() : nullptr});
          }
          std::vector<double> total(shape.channels + 1, 77.0), found(count * shape.channels + 1, 77.0);
          dots<T>(g.rows(), with_gate ? gate.rows() : Rows<const T>(), terms, shape.pixels, shape.channels,
                  total.data(), found.data());
          const double tolerance = sum_tolerance<T> * std::sqrt(shape.pixels.end - shape.pixels.begin);
          for (std::int64_t c = 0; c < shape.channels; ++c) {
            double sum = 0;
            std::array<double, 3> expected{};
            for (std::int64_t p = shape.pixels.begin; p < shape.pixels.end; ++p) {
              if (with_gate && gate.at(p, c) <= 0) continue;
              sum += g.at(p, c);
              for (std::size_t i = 0; i < count; ++i) {
                expected[i] += g.at(p, c) * (inputs[i].at(p, c) - (i % 2 == 0 ? centre[c] : 0));
              }
            }
            ASSERT_NEAR(total[c], sum, tolerance) << c;
            for (std::size_t i = 0; i < count; ++i) {
              ASSERT_NEAR(found[i * shape.channels + c], expected[i], tolerance) << i << ", " << c;
            }
          }
          EXPECT_EQ(total.back(), 77.0);
          EXPECT_EQ(found.back(), 77.0);
        }
      }
    }
  });
}

TYPED_TEST(MixKernels, GradientIsWhatItsDefinitionSays) {
  using T = TypeParam;
  on_every_target([&] {
    for (const Shape& shape : shapes()) {
      for (const bool with_gate : {false, true}) {
        for (const bool reads_x : {false, true}) {
          for (const bool in_place : {false, true}) {
            SCOPED_TRACE(std::to_string(shape.channels) + " channels");
            const Matrix<T> g(shape.all_pixels(), shape.channels, 1), gate(shape.all_pixels(), shape.channels, 2),
                x(shape.all_pixels(), shape.channels, 3);
            const auto a = channel_numbers<T>(shape.channels, 4), b = channel_numbers<T>(shape.channels, 5),
                       d = channel_numbers<T>(shape.channels, 6);
            const Matrix<T> before = in_place ? x : Matrix<T>(shape.all_pixels(), shape.channels, 7);
            Matrix<T> dx = before;
            gradient<T>(g.rows(), with_gate ? gate.rows() : Rows<const T>(), in_place ? dx.rows() : x.rows(), a.data(),
                        reads_x ? b.data() : nullptr, reads_x ? d.data() : nullptr, shape.pixels, shape.channels,
                        dx.rows());
            expect_rows(dx, before, shape, [&](std::int64_t p, std::int64_t c) {
              const double counted = with_gate && gate.at(p, c) <= 0 ? 0.0 : a[c] * g.at(p, c);
              return reads_x ? counted + b[c] * x.at(p, c) + d[c] : counted;
            });
            if (this->HasFatalFailure()) return;
          }
        }
      }
    }
  });
}

// float loses 3 digits of the deviations where squares are summed without a centre.
TYPED_TEST(MixKernels, SumsAreAccurateOver65536SamplesFarFromZero) {
  using T = TypeParam;
  constexpr std::int64_t count = 65536;
  on_every_target([] {
    for (const std::int64_t channels : {1, 16, 33}) {
      SCOPED_TRACE(std::to_string(channels) + " channels");
      std::vector<T> x, g;
      CounterRng rng(5, Stream::weight_init, 0, 0, 0);
      for (std::int64_t i = 0; i < count * channels; ++i) {
        const double deviation = rng.normal();
        x.push_back(rounded<T>(100 + deviation));
        g.push_back(rounded<T>(100 + deviation + rng.normal()));
      }
      std::vector<double> mean(channels), squares(channels), total(channels), dot(channels);
      const Rows<const T> x_rows{x.data(), channels}, g_rows{g.data(), channels};
      moments<T>(x_rows, {0, count}, channels, mean.data(), squares.data(), {});
      std::vector<Compute<T>> centre;
      for (const double value : mean) centre.push_back(static_cast<Compute<T>>(value));
      const CentredTerm<T> term{x_rows, centre.data()};
      dots<T>(g_rows, {}, std::span(&term, 1), {0, count}, channels, total.data(), dot.data());
      const double relative = std::is_same_v<T, double> ? 1e-12 : 1e-5;
      for (std::int64_t c = 0; c < channels; ++c) {
        long double sum = 0, deviations = 0, sum_g = 0, products = 0;
        for (std::int64_t i = c; i < count * channels; i += channels) sum += value_of(x[i]);
        for (std::int64_t i = c; i < count * channels; i += channels) {
          deviations += std::pow(value_of(x[i]) - sum / count, 2);
          sum_g += value_of(g[i]);
          products += value_of(g[i]) * (static_cast<long double>(value_of(x[i])) - centre[c]);
        }
        const auto expect_accurate = [&](double found, long double truth) {
          EXPECT_LE(std::abs(found - truth), relative * std::abs(truth)) << "channel " << c;
        };
        expect_accurate(mean[c], sum / count);
        expect_accurate(squares[c], deviations);
        expect_accurate(total[c], sum_g);
        expect_accurate(dot[c], products);
      }
    }
  });
}

/// 1 times each of the scales.
std::vector<Bf16> stored(const std::vector<float>& scales, bool rectified) {
  const auto channels = static_cast<std::int64_t>(scales.size());
  const std::vector<Bf16> ones(scales.size(), Bf16{0x3F80});
  std::vector<Bf16> out(scales.size());
  const ScaledTerm<Bf16> term{{ones.data(), channels}, scales.data()};
  const Rows<Bf16> to{out.data(), channels};
  weighted_sum<Bf16>(std::span(&term, 1), nullptr, {}, {}, {0, 1}, channels, rectified ? Rows<Bf16>() : to,
                     rectified ? to : Rows<Bf16>());
  return out;
}

TEST(MixKernels, Bf16IsRoundedToNearestTiesToEven) {
  std::vector<float> scales{0.0F,          1.0F,          -1.0F,         0x1.01p0F,   0x1.03p0F, -0x1.01p0F,
                            0x1.0100FEp0F, 0x1.00FFFEp0F, 0x1.FFFFFEp0F, 0x1.5p-120F, 3.0e38F};
  CounterRng rng(6, Stream::weight_init, 0, 0, 0);
  for (int i = 0; i < 1000; ++i) scales.push_back(static_cast<float>(100 * rng.normal()));
  on_every_target([&] {
    const std::vector<Bf16> found = stored(scales, false);
    for (std::size_t i = 0; i < scales.size(); ++i)
      EXPECT_EQ(found[i].bits, rounded<Bf16>(scales[i]).bits) << scales[i];
    const float infinity = std::numeric_limits<float>::infinity();
    for (const Bf16 out : stored({infinity, std::numeric_limits<float>::max()}, false)) {
      EXPECT_EQ(value_of(out), infinity);
    }
  });
}

TEST(MixKernels, NanStaysNanInBf16) {
  std::vector<float> nans;
  // Rounding up would carry the second and third over into infinity or a zero.
  for (const std::uint32_t bits : {0x7FC00000U, 0x7FFFFFFFU, 0xFFFFFFFFU, 0x7FC08000U}) {
    nans.insert(nans.end(), 9, std::bit_cast<float>(bits));
  }
  on_every_target([&] {
    for (const bool rectified : {false, true}) {
      for (const Bf16 out : stored(nans, rectified)) EXPECT_TRUE(std::isnan(value_of(out))) << rectified << out.bits;
    }
  });
}

// A search that diverges must show it: a rectifier that made 0 of NaN would hide it.
TYPED_TEST(MixKernels, NanPassesTheRectifier) {
  using T = TypeParam;
  const Compute<T> nan = std::numeric_limits<Compute<T>>::quiet_NaN();
  on_every_target([&] {
    for (const std::int64_t pixels : {1, 4}) {
      constexpr std::int64_t channels = 21;
      const std::vector<T> ones(channels * pixels, rounded<T>(1.0));
      const std::vector<Compute<T>> scale(channels, nan);
      std::vector<T> out(ones.size());
      const ScaledTerm<T> term{{ones.data(), channels}, scale.data()};
      weighted_sum<T>(std::span(&term, 1), nullptr, {}, {}, {0, pixels}, channels, {}, {out.data(), channels});
      for (const T value : out) EXPECT_TRUE(std::isnan(value_of(value)));
    }
  });
}

}  // namespace
}  // namespace flowdarts::mixed_op
